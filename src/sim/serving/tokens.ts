/** The synthetic workloads as tokens, for engines that are real: random, but equal where requests share a prefix. */
import { hashWords } from '../random.ts';
import { levelsOf, orderedWorkload, type Level, type SyntheticOptions } from './synthetic.ts';

export interface TokenWorkload {
  readonly name: string;
  /** In the order of the queue. */
  readonly sequences: readonly Uint32Array[];
  readonly tokens: number;
  /** What the paper's context lengths were divided by. */
  readonly contextFactor: number;
}

export interface TokenOptions extends SyntheticOptions {
  /** What the paper's longest context of 128K tokens becomes: no more than the model has positions. */
  readonly longestContext: number;
  /** Tokens are below it. */
  readonly vocabSize: number;
}

/** Tokens of one request: each is decided by who has it, and by its position. */
function tokensOf(levels: readonly Level[], { seed, vocabSize }: TokenOptions): Uint32Array {
  const tokens = new Uint32Array((levels.at(-1) as Level).end);
  let at = 0;
  for (const { end, owner } of levels) for (; at < end; at++) tokens[at] = hashWords(seed, owner, at) % vocabSize;
  return tokens;
}

/**
 * A workload of the paper whose context lengths are divided by one factor, so that a small model can run it; who shares what with whom is as in
 * `syntheticWorkload`. A prefix of fewer than 16 tokens has no full block, and no use: with short contexts the short sources share nothing.
 * @throws InputError for an unknown name
 */
export function tokenWorkload(name: string, options: TokenOptions): TokenWorkload {
  const workload = orderedWorkload(name, options, options.longestContext);
  const levels = levelsOf(workload);
  const sequences = workload.requests.map((_, index) => tokensOf(levels(index), options));
  return { name, sequences, tokens: workload.tokens, contextFactor: workload.contextFactor };
}
