import { describe, expect, it } from 'vitest';
import type { TraceEvent, Track } from '../../src/trace/events.ts';
import { drawSchedule } from '../../src/trace/picture.ts';

const bar = (rank: number, track: Track, layer: number, startUs: number, durationUs: number, pass = 0): TraceEvent => ({
  name: `layer ${layer}`, rank, track, startUs, durationUs, args: { layer, pass },
});

/** Two layers of 1 ms each on two ranks; the next layer's experts arrive within 0.5 ms. */
const events: TraceEvent[] = [0, 1].flatMap((rank) => [
  bar(rank, 'compute', 1, 0, 1000), bar(rank, 'compute', 2, 1000, 1000),
  bar(rank, 'receive', 2, 0, 500), bar(rank, 'receive', 3, 1000, 500),
]);

describe('drawSchedule', () => {
  it('shows the gather of layer i + 1 under the compute of layer i', () => {
    expect(drawSchedule(events, { columns: 40 })).toMatchInlineSnapshot(`
      "rank 0  compute  [======= 1 ========][======= 2 ========]
              gather   [== 2 ===]          [== 3 ===]
      rank 1  compute  [======= 1 ========][======= 2 ========]
              gather   [== 2 ===]          [== 3 ===]
                       0                                 2.0 ms"
    `);
  });

  it('shows the wanted layers only, and cuts what reaches over the edge', () => {
    expect(drawSchedule([...events, bar(0, 'receive', 4, 1900, 500)], { columns: 30, layers: [2] })).toMatchInlineSnapshot(`
      "rank 0  compute  [============ 2 =============]
              gather   [===== 3 =====]            [4]
      rank 1  compute  [============ 2 =============]
              gather   [===== 3 =====]
                       0                       1.0 ms"
    `);
  });

  it('shows the last pass unless another is asked for', () => {
    const later = [...events, bar(0, 'compute', 7, 9000, 100, 1)];
    expect(drawSchedule(later, { columns: 20 })).toContain('7');
    expect(drawSchedule(later, { columns: 20, pass: 0 })).not.toContain('7');
  });

  it('is empty when there is nothing to show', () => {
    expect(drawSchedule([])).toBe('');
    expect(drawSchedule(events, { layers: [9] })).toBe('');
  });
});
