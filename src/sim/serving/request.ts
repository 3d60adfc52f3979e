/** A prompt in a run: what the scheduler routes and the engine computes. */
import { BLOCK_TOKENS } from '../../runtime/kernels/attention.ts';
import type { SequenceWork } from '../../model/flops.ts';
import type { Routable } from '../../serving/scheduling.ts';
import { cacheableBlocks, type Prompt } from './prompts.ts';

/** True FLOPs of one sequence, as `requestFlops` of the server has them. */
export type RequestFlops = (work: SequenceWork) => number;

/** Answers to choose from, as in a question with four options. */
export const CANDIDATES = 4;

export class SimRequest implements Routable {
  readonly cacheable: number;

  /** @param id index in the workload */
  constructor(readonly id: number, private readonly prompt: Prompt, private readonly flopsOf: RequestFlops) {
    this.cacheable = cacheableBlocks(prompt.tokens, BLOCK_TOKENS);
  }

  get tokens(): number {
    return this.prompt.tokens;
  }

  get hashes(): Float64Array {
    return this.prompt.hashes;
  }

  get arrivedMs(): number {
    return this.prompt.arrivalMs;
  }

  flops(cachedTokens: number): number {
    return this.flopsOf({ newTokens: this.prompt.tokens - cachedTokens, cachedTokens, candidates: CANDIDATES });
  }
}
