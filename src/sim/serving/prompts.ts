/** What a router bench sends: prompts as lengths and block hashes; no token exists. */
import { BlockSet } from '../../serving/block-set.ts';

export interface Prompt {
  /** Name of the data set it stands for, or of the trace. */
  readonly source: string;
  readonly tokens: number;
  /**
   * One for each full block of the prompt; equal ones from the start are a shared prefix. Whole numbers below 2^53. May be made anew whenever they are asked
   * for, so that a prompt that waits costs a few words: who needs them twice keeps them.
   */
  readonly hashes: Float64Array;
  /** Leading blocks that other prompts may have as well, where that is known; all of them otherwise. */
  readonly sharedBlocks?: number | undefined;
  /** On the workload's clock; all 0 for an offline batch. */
  readonly arrivalMs: number;
}

export interface ServingWorkload {
  readonly name: string;
  /** By arrival, those of the same time in the order of the queue. */
  readonly prompts: readonly Prompt[];
  readonly tokens: number;
  /** Whether arrivals have times: latencies mean something then. */
  readonly timed: boolean;
  /** What was assumed, a line each. */
  readonly assumptions: readonly string[];
}

/**
 * Largest share of a workload's tokens that a cache can save: every block is computed once, on one engine that forgets nothing. The last token of a prompt
 * is always computed, and with it its block.
 * @param blockTokens tokens of a block
 */
export function bestHitRate({ prompts, tokens }: Pick<ServingWorkload, 'prompts' | 'tokens'>, blockTokens: number): number {
  const seen = new BlockSet();
  let cached = 0;
  for (const prompt of prompts) {
    const { hashes, sharedBlocks = hashes.length } = prompt;
    const cacheable = cacheableBlocks(prompt.tokens, blockTokens);
    let known = 0;
    while (known < cacheable && seen.has(hashes[known] as number)) known++;
    cached += known * blockTokens;
    for (let block = known; block < sharedBlocks; block++) seen.add(hashes[block] as number);
  }
  return cached / tokens;
}

/** Leading blocks of a prompt that may come from a cache: all that end before its last token. */
export const cacheableBlocks = (tokens: number, blockTokens: number): number => Math.floor((tokens - 1) / blockTokens);

/** A prompt that arrives at another time. (A copy by `...` would have no hashes where these are made when they are asked for.) */
class MovedPrompt implements Prompt {
  constructor(private readonly prompt: Prompt, readonly arrivalMs: number) {}

  get source(): string {
    return this.prompt.source;
  }

  get tokens(): number {
    return this.prompt.tokens;
  }

  get hashes(): Float64Array {
    return this.prompt.hashes;
  }

  get sharedBlocks(): number | undefined {
    return this.prompt.sharedBlocks;
  }
}

/** The same prompt, arriving at `arrivalMs`. */
export const arrivingAt = (prompt: Prompt, arrivalMs: number): Prompt => new MovedPrompt(prompt, arrivalMs);
