/** An accepted request on its way to its answer. */
import { askedRows, MAX_TOP } from '../engine/batch.ts';
import { blockHashes } from '../engine/index.ts';
import { InputError } from '../errors.ts';
import type { SequenceWork } from '../model/flops.ts';
import { BLOCK_TOKENS } from '../runtime/kernels/attention.ts';
import type { ServingAnswer, ServingRequest } from './requests.ts';
import type { Routable } from './scheduling.ts';

/**
 * Refuses what would only fail in a pass, with all its fellows. Whether tokens are in the vocabulary is for who knows the model.
 * @throws InputError naming the field
 */
export function checkRequest({ tokens, candidates, scored = 0, top = 0 }: ServingRequest): void {
  const source = 'request';
  if (tokens.length === 0) throw new InputError(source, 'tokens', 'is empty; expected at least one token');
  if (!Number.isInteger(scored) || scored < 0 || scored > tokens.length) throw new InputError(source, 'scored', `${scored}; expected a whole number from 0 to ${tokens.length}, the prompt's length`);
  if (!Number.isInteger(top) || top < 0 || top > MAX_TOP) throw new InputError(source, 'top', `${top}; expected a whole number from 0 to ${MAX_TOP}`);
  if (candidates.length === 0 && scored === 0) throw new InputError(source, 'candidates', 'is empty and no position is scored; expected at least one token to ask for');
}

/** `withdrawn` is an outcome of its own, so that it is counted apart. */
export type Outcome = 'answered' | 'failed' | 'cancelled';

const NO_HASHES = new Float64Array(0);

export interface JobHooks {
  /** Whether engines take prefixes from a cache, of which requests of a batch partake; else nothing of a prompt is ever shared. */
  readonly sharesPrefixes: boolean;
  flops(work: SequenceWork): number;
  /** Told once, before the promise is settled. */
  settled(job: Job, outcome: Outcome, result: ServingAnswer | Error): void;
}

export class Job implements Routable {
  readonly hashes: Float64Array;
  readonly cacheable: number;
  /** FLOPs when nothing is cached: its size for whoever reckons with throughput. */
  readonly allFlops: number;
  /** Settles exactly once. */
  readonly answer: Promise<ServingAnswer>;
  /** Passes with it that were lost with their engine. */
  lostPasses = 0;
  /** In a pass; otherwise it waits, in the queue or in a batch that is being filled. */
  running = false;
  #resolve!: (answer: ServingAnswer) => void;
  #reject!: (error: Error) => void;
  #open = true;

  constructor(readonly id: number, readonly request: ServingRequest, readonly arrivedMs: number, private readonly hooks: JobHooks) {
    const { tokens } = request;
    this.hashes = hooks.sharesPrefixes ? blockHashes(tokens) : NO_HASHES;
    // What is asked for has to be computed: its keys and values cannot come from a cache.
    this.cacheable = hooks.sharesPrefixes ? Math.floor((tokens.length - askedRows(request)) / BLOCK_TOKENS) : 0;
    this.allFlops = this.flops(0);
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  get tokens(): number {
    return this.request.tokens.length;
  }

  /** Neither answered nor failed nor withdrawn. */
  get open(): boolean {
    return this.#open;
  }

  flops(cachedTokens: number): number {
    const { tokens, candidates, scored = 0 } = this.request;
    return this.hooks.flops({ newTokens: tokens.length - cachedTokens, cachedTokens, candidates: candidates.length, scored });
  }

  resolve(answer: ServingAnswer): void {
    if (this.#close('answered', answer)) this.#resolve(answer);
  }

  reject(error: Error, outcome: 'failed' | 'cancelled' = 'failed'): void {
    if (this.#close(outcome, error)) this.#reject(error);
  }

  /** @returns false for a job that is settled already: the second result is nobody's business */
  #close(outcome: Outcome, result: ServingAnswer | Error): boolean {
    if (!this.#open) return false;
    this.#open = false;
    this.hooks.settled(this, outcome, result);
    return true;
  }
}
