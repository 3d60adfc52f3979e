const [MIX_HIGH, MIX] = [0x9e3779b1, 0x85ebca6b];

/** A u32 of a block's hash (a whole number below 2^53), of which the upper bits name a slot: both words reach them. */
export function hashSlot(hash: number): number {
  const word = hash ^ Math.imul(hash / 2 ** 32, MIX_HIGH);
  return Math.imul(word ^ (word >>> 15), MIX) >>> 0;
}
