/** Prompts to test with. */
import { BLOCK_TOKENS } from '../../src/runtime/kernels/attention.ts';
import type { Prompt } from '../../src/sim/serving/prompts.ts';

/** A prompt whose first `shared` blocks are those of `group`, and whose others nobody has. */
export function prompt(index: number, tokens: number, { group = 0, shared = 0, arrivalMs = 0 } = {}): Prompt {
  const hashes = Float64Array.from({ length: Math.floor(tokens / BLOCK_TOKENS) }, (_, block) =>
    (block < shared ? (group + 1) * 1e6 + block : 1e12 + index * 1e6 + block));
  return { source: 'test', tokens, hashes, arrivalMs };
}

/** `groups` documents of `shared` blocks, each with `siblings` prompts of `tokens` tokens, in turn. */
export const documents = (groups: number, siblings: number, { tokens, shared }: { tokens: number; shared: number }): Prompt[] =>
  Array.from({ length: groups * siblings }, (_, index) => prompt(index, tokens, { group: index % groups, shared }));
