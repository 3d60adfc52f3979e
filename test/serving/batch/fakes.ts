/** A service without engines that counts what it is given, an operation that asks it, and lines that ask the operation. */
import { z } from 'zod';
import { InputError } from '../../../src/errors.ts';
import type { Operation, ServedModel } from '../../../src/serving/operations/operation.ts';
import { CancelledError, OverloadedError, type ServingAnswer } from '../../../src/serving/requests.ts';
import type { BatchService } from '../../../src/serving/batch/run.ts';

export const MODEL = { id: 'fake' } as unknown as ServedModel;

/** Answers are the text's length and the first logit of each of `copies` requests; a text that begins with `bad` is refused, `crash` ends the engines. */
const count: Operation = {
  name: 'count', path: '/v1/count', summary: 'counts', response: z.unknown(),
  body: z.object({ text: z.string(), copies: z.int().min(1).default(1) }),
  async run(body, { service, signal }) {
    const { text, copies } = body as { text: string; copies: number };
    if (text.startsWith('bad')) throw new InputError('text', '', 'is bad; expected a good one');
    const tokens = new Uint32Array(text.length).fill(text.length);
    const answers = await Promise.all(Array.from({ length: copies }, () => service.submit({ tokens, candidates: [1], signal })));
    return { length: text.length, logits: answers.map(({ logits }) => logits[0]) };
  },
};

/** What lines may name. */
export const find = (path: string): Operation | undefined => (path === count.path ? count : undefined);

export interface FakeService extends BatchService {
  /** The most requests that it held at a time, and how many it was given. */
  readonly most: number;
  readonly asked: number;
  readonly withdrawn: number;
}

/** Requests that are in passes; what is above them waits. */
export const IN_PASSES = 3;

/** Answers in an order of its own after up to `delayMs`; refuses what is above `limit`. */
export function fakeService({ delayMs = 2, limit = Infinity, fail = () => undefined }: {
  delayMs?: number; limit?: number; fail?: (tokens: Uint32Array, nth: number) => Error | undefined;
} = {}): FakeService {
  let [held, most, asked, withdrawn] = [0, 0, 0, 0];
  return {
    get most() { return most; },
    get asked() { return asked; },
    get withdrawn() { return withdrawn; },
    snapshot: () => ({ waiting: Math.max(0, held - IN_PASSES) }),
    submit: ({ tokens, signal }) => new Promise<ServingAnswer>((resolve, reject) => {
      asked++;
      if (held >= limit) return reject(new OverloadedError(held, 1));
      most = Math.max(most, ++held);
      const error = fail(tokens, asked);
      const settle = (): void => {
        signal?.removeEventListener('abort', withdraw);
        held--;
        if (error === undefined) resolve({ logits: Float32Array.of(tokens.length), scores: null, cachedTokens: 1, engine: 0, queuedMs: 0, computeMs: 0 });
        else reject(error);
      };
      const timer = delayMs === 0 ? void setImmediate(settle) : setTimeout(settle, (asked * 7919) % 13 / 13 * delayMs);
      const withdraw = (): void => {
        clearTimeout(timer);
        held--;
        withdrawn++;
        reject(new CancelledError());
      };
      signal?.addEventListener('abort', withdraw, { once: true });
    }),
  };
}

export const countLine = (id: number | string, text: string, more: object = {}): string =>
  JSON.stringify({ custom_id: `id-${id}`, method: 'POST', url: '/v1/count', body: { text, ...more } });
