/** The adapter's own limit, for MFU. */

/** Placeholder until the runtime measures it. FLOP/s, summed over the different adapters. */
export async function matmulRate(_adapters: readonly string[]): Promise<number> {
  throw new Error('not joined yet');
}
