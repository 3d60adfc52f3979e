/** How rows travel between the ranks that compute one batch together; strategies implement it over a transport. */

/** What an exchange is for; names of the collectives that it stands for. */
export type ExchangeOp = 'all-gather' | 'reduce-scatter' | 'dispatch' | 'combine' | 'stage';

export interface ExchangeStep {
  readonly op: ExchangeOp;
  /** The cluster's number of the pass, the same on all ranks. */
  readonly pass: number;
  /** Counts the exchanges of the pass, the same on all ranks. */
  readonly step: number;
  readonly layer: number;
}

/** Moves bytes between ranks. All ranks call it for the same steps. */
export interface RowExchange {
  readonly rank: number;
  readonly world: number;
  /**
   * Sends `parts[p]` to every rank p and receives what p sends into `into[p]` (null, and the own rank: nothing).
   * @returns bytes received from each rank
   * @throws RankError naming the rank that is missing
   */
  exchange(step: ExchangeStep, parts: readonly (Uint8Array | null)[], into: readonly (Uint8Array | null)[]): Promise<readonly number[]>;
}
