/**
 * Names of KV blocks: a block's hash covers all the tokens up to its end, so two sequences that share a block's hash share the whole prefix
 * (paper section 5). Router and engines use the same ones.
 */
import { BLOCK_TOKENS } from '../../runtime/kernels/attention.ts';

const [SEED_LOW, SEED_HIGH] = [0x9e3779b9, 0x7f4a7c15];
const [MIX_A, MIX_B, MIX_C] = [0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f];
/** Bits of the upper word that a float64 holds beside 32 lower ones. */
const HIGH_MASK = 0x1fffff;
const TWO_32 = 2 ** 32;

/**
 * Hashes of the full blocks of a sequence: entry i is of tokens [0, 16 (i + 1)). Whole numbers below 2^53, from two chained 32-bit mixes: of a
 * million blocks, two have the same one with probability 5e-5, so who acts on a hash compares the tokens.
 */
export function blockHashes(tokens: ArrayLike<number>): Float64Array {
  const hashes = new Float64Array(Math.floor(tokens.length / BLOCK_TOKENS));
  let [low, high] = [SEED_LOW, SEED_HIGH];
  for (let block = 0, at = 0; block < hashes.length; block++) {
    for (const end = at + BLOCK_TOKENS; at < end; at++) {
      const token = tokens[at] as number;
      low = Math.imul(low ^ token, MIX_A);
      low ^= low >>> 15;
      high = Math.imul(high + token, MIX_B) ^ low;
      high = (high << 13) | (high >>> 19);
    }
    const mixed = Math.imul(high ^ (high >>> 16), MIX_C);
    hashes[block] = ((mixed ^ (mixed >>> 13)) & HIGH_MASK) * TWO_32 + (Math.imul(low ^ (low >>> 13), MIX_C) >>> 0);
  }
  return hashes;
}
