import type { Routable, ScheduledBatch } from '../../src/serving/scheduling.ts';

export interface Prompt {
  /** Prompts of one family have their leading blocks in common. */
  readonly family: number;
  readonly sharedBlocks: number;
  /** Blocks of its own; those of equal `own` in a family are equal, 0 is nobody else's. */
  readonly ownBlocks: number;
  readonly own: number;
  /** Tokens behind the last full block. */
  readonly rest: number;
  readonly asked: number;
}

/** A request whose FLOPs are a million a token to compute, and half of it per cached one. */
export function request(id: number, arrivedMs: number, prompt: Partial<Prompt>): Routable {
  const { family = 0, sharedBlocks = 0, ownBlocks = 0, own = 0, rest = 0, asked = 1 } = prompt;
  const tokens = Math.max(1, (sharedBlocks + ownBlocks) * 16 + rest);
  const ownName = own === 0 ? 1e6 + id : family * 1000 + own;
  const hashes = Array.from({ length: Math.floor(tokens / 16) }, (_, i) => (i < sharedBlocks ? 1 + family : 2 ** 32 * ownName + sharedBlocks) * 1024 + i);
  const cacheable = Math.max(0, Math.floor((tokens - Math.min(tokens, asked)) / 16));
  return { id, tokens, hashes: Float64Array.from(hashes), cacheable, arrivedMs, flops: (cached) => (tokens - cached) * 1e6 + cached * 5e5 };
}

/** Batches as what is decided: engine and ids. */
export const decided = (batches: readonly ScheduledBatch<Routable>[]): [number, number[]][] => batches.map(({ engine, requests }) => [engine, requests.map(({ id }) => id)]);
