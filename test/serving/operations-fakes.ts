/** A service whose answers are computed from the tokens by a formula, so that a test can say what must come out. */
import { setMaxListeners } from 'node:events';
import { fileURLToPath } from 'node:url';
import { readConfig } from '../../src/model/config.ts';
import { openTokenizer } from '../../src/model/tokenizer.ts';
import { openFolder } from '../../src/node/files.ts';
import type { TokenScores } from '../../src/engine/index.ts';
import type { ServedModel } from '../../src/serving/operations/operation.ts';
import { CancelledError, type ServingAnswer, type ServingRequest } from '../../src/serving/requests.ts';
import type { Service, ServiceSnapshot } from '../../src/serving/service.ts';

const folder = await openFolder(fileURLToPath(new URL('../../models/spam-mail', import.meta.url)));
const config = await readConfig(folder);
const tokenizer = await openTokenizer(folder);
await folder.close();

/** The demo model's tokenizer and shape. */
export const servedModel = (options: Partial<ServedModel> = {}): ServedModel =>
  ({ id: 'spam-mail', created: 1_700_000_000, config, tokenizer, maxPromptTokens: 2048, ...options });

/** Logit of `token` after `prefix`, an arbitrary function of both, exact in f32: whole 1024ths from -16 to 16. */
export function fakeLogit(prefix: ArrayLike<number>, token: number): number {
  return logitAt(prefixHash(prefix, prefix.length), token);
}

function prefixHash(tokens: ArrayLike<number>, length: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < length; i++) hash = Math.imul(hash ^ tokens[i]!, 0x01000193);
  return hash;
}

function logitAt(hash: number, token: number): number {
  let mixed = Math.imul(hash ^ Math.imul(token + 1, 0x9e3779b1), 0x85ebca6b);
  mixed ^= mixed >>> 15;
  return ((Math.imul(mixed, 0xc2b2ae35) >>> 17) - 16_384) / 1024;
}

/** Log of the sum of exp over the vocabulary. */
export function fakeNormalizer(prefix: ArrayLike<number>): number {
  const hash = prefixHash(prefix, prefix.length);
  let sum = 0;
  for (let token = 0; token < config.vocabSize; token++) sum += Math.exp(logitAt(hash, token));
  return Math.fround(Math.log(sum));
}

/** The likeliest tokens after a prefix, the smaller first among equals. */
export function fakeTop(prefix: ArrayLike<number>, count: number): number[] {
  if (count === 0) return [];
  const hash = prefixHash(prefix, prefix.length);
  const logits = Array.from({ length: config.vocabSize }, (_, token) => logitAt(hash, token));
  return [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b).slice(0, count);
}

function fakeScores(tokens: Uint32Array, scored: number, top: number): TokenScores {
  const positions = Array.from({ length: scored }, (_, i) => tokens.length - scored + i);
  const tops = positions.map((p) => fakeTop(tokens.subarray(0, p + 1), top));
  return {
    top,
    normalizers: Float32Array.from(positions, (p) => fakeNormalizer(tokens.subarray(0, p + 1))),
    nextLogits: Float32Array.from(positions, (p) => (p + 1 < tokens.length ? fakeLogit(tokens.subarray(0, p + 1), tokens[p + 1]!) : 0)),
    topTokens: Uint32Array.from(tops.flat()),
    topLogits: Float32Array.from(tops.flatMap((ids, i) => ids.map((id) => fakeLogit(tokens.subarray(0, positions[i]! + 1), id)))),
  };
}

/** The answer of the formula. `cachedTokens` is made up as well: the prompt's whole blocks but the last. */
export function fakeAnswer({ tokens, candidates, scored = 0, top = 0 }: ServingRequest): ServingAnswer {
  return {
    logits: Float32Array.from(candidates, (token) => fakeLogit(tokens, token)),
    scores: scored > 0 ? fakeScores(tokens, scored, top) : null,
    cachedTokens: Math.floor((tokens.length - 1) / 16) * 16, engine: 0, queuedMs: 0, computeMs: 0,
  };
}

export interface FakeService extends Service {
  /** Everything that was submitted. */
  readonly requests: ServingRequest[];
  /** Requests whose signal was aborted while they waited. */
  readonly withdrawn: ServingRequest[];
  /** From now on requests wait. @returns answers those that wait, and all that come */
  hold(): () => void;
  /** What `submit` throws from now on; null: nothing. */
  refusing: ((accepted: number) => Error) | null;
  ready: boolean;
}

const SATURATION = { gatherMs: 0, moeLayers: 4, flopsPerSecond: 1e12, rate: 'peak', gamma: 1.2, gatherFlops: 0, threshold: 0, arithmetic: '4 x 0 ms x 1 TFLOP/s x 1.2 = 0' } as const;

/** Accepts everything until told otherwise. */
export function fakeService(): FakeService {
  const requests: ServingRequest[] = [];
  const withdrawn: ServingRequest[] = [];
  let gate = Promise.resolve();
  let draining = false;
  const underWay = new Set<Promise<unknown>>();
  const service: FakeService = {
    requests, withdrawn, saturation: SATURATION, ready: true, refusing: null,
    submit(request) {
      if (service.refusing !== null) return Promise.reject(service.refusing(requests.length));
      requests.push(request);
      const answer = answerLater(request, gate, withdrawn);
      underWay.add(answer);
      void answer.catch(() => {}).then(() => underWay.delete(answer));
      return answer;
    },
    hold() {
      let open = (): void => {};
      gate = new Promise<void>((resolve) => { open = resolve; });
      return () => {
        open();
        gate = Promise.resolve();
      };
    },
    snapshot: () => ({ draining, engines: [] } as unknown as ServiceSnapshot),
    observe: () => {},
    async drain() {
      draining = true;
      const { DrainingError } = await import('../../src/serving/requests.ts');
      service.refusing = () => new DrainingError();
      await Promise.allSettled(underWay);
    },
    close: () => Promise.resolve(),
  };
  return service;
}

async function answerLater(request: ServingRequest, gate: Promise<void>, withdrawn: ServingRequest[]): Promise<ServingAnswer> {
  const { signal } = request;
  if (signal?.aborted === true) throw new CancelledError();
  await Promise.race([gate, new Promise<never>((_, reject) => {
    if (signal) setMaxListeners(0, signal); // one for each prompt of a request
    signal?.addEventListener('abort', () => {
      withdrawn.push(request);
      reject(new CancelledError());
    }, { once: true });
  })]);
  return fakeAnswer(request);
}
