/** A workload of tokens through something that answers requests, such as a service with real engines behind it. */
import type { TokenWorkload } from './tokens.ts';

/** Answers one sequence; rejects when it cannot. */
export type Submit = (tokens: Uint32Array, index: number) => Promise<{ readonly cachedTokens: number }>;

export interface SubmitOptions {
  /** Requests that wait or run at the same time at most: what the queue behind `submit` takes. */
  readonly inFlight: number;
  /** Milliseconds. */
  readonly clock: () => number;
}

export interface SubmitFigures {
  readonly wallMs: number;
  /** Tokens of prompts, cached ones included. */
  readonly tokensPerSecond: number;
  readonly cachedTokens: number;
  readonly hitRate: number;
  /** From submission to answer, by index. */
  readonly latencyMs: Float64Array;
}

/**
 * Submits every request in order, as soon as there is room, and waits for all answers.
 * @throws what `submit` rejects with; nothing more is submitted then
 */
export async function submitWorkload({ sequences, tokens }: TokenWorkload, submit: Submit, { inFlight, clock }: SubmitOptions): Promise<SubmitFigures> {
  const latencyMs = new Float64Array(sequences.length);
  const startMs = clock();
  let [next, cachedTokens, failed] = [0, 0, false];
  const worker = async (): Promise<void> => {
    while (next < sequences.length && !failed) {
      const index = next++;
      const submittedMs = clock();
      const answer = await submit(sequences[index] as Uint32Array, index).catch((error: unknown) => {
        failed = true;
        throw error;
      });
      latencyMs[index] = clock() - submittedMs;
      cachedTokens += answer.cachedTokens;
    }
  };
  await Promise.all(Array.from({ length: Math.min(inFlight, sequences.length) }, worker));
  const wallMs = clock() - startMs;
  return { wallMs, tokensPerSecond: tokens / (wallMs / 1000), cachedTokens, hitRate: cachedTokens / tokens, latencyMs };
}
