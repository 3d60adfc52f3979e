/** Sum over rows of the keys each one sees: its position and everything before. */
export function keysSeen(positions: Uint32Array, start: number, rows: number): number {
  let sum = 0;
  for (let i = start; i < start + rows; i++) sum += (positions[i] ?? 0) + 1;
  return sum;
}
