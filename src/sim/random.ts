/** Seeded numbers that depend on what they are for, never on the order in which they are asked for. */

/** MurmurHash3's finaliser: every input bit reaches every output bit. */
function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** A u32 that belongs to `words`: equal words give equal numbers, others independent ones. */
export function hashWords(...words: readonly number[]): number {
  let h = 0x9e3779b9;
  for (const word of words) h = mix((Math.imul(h, 31) + Math.imul(word, 0x9e3779b1)) ^ (h >>> 15));
  return h;
}

/** `list` in a random order that `seed` decides (Fisher-Yates). */
export function shuffled<T>(list: readonly T[], seed: number): T[] {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = hashWords(seed, i) % (i + 1);
    [out[i], out[j]] = [out[j] as T, out[i] as T];
  }
  return out;
}
