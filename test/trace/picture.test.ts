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
              receive  [== 2 ===]          [== 3 ===]
      rank 1  compute  [======= 1 ========][======= 2 ========]
              receive  [== 2 ===]          [== 3 ===]
                       0                                 2.0 ms"
    `);
  });

  it('shows the wanted layers only, and cuts what reaches over the edge', () => {
    expect(drawSchedule([...events, bar(0, 'receive', 4, 1900, 500)], { columns: 30, layers: [2] })).toMatchInlineSnapshot(`
      "rank 0  compute  [============ 2 =============]
              receive  [===== 3 =====]            [4]
      rank 1  compute  [============ 2 =============]
              receive  [===== 3 =====]
                       0                       1.0 ms"
    `);
  });

  it('shows the last pass unless another is asked for', () => {
    const later = [...events, bar(0, 'compute', 7, 9000, 100, 1)];
    expect(drawSchedule(later, { columns: 20 })).toContain('7');
    expect(drawSchedule(later, { columns: 20, pass: 0 })).not.toContain('7');
  });

  it('has rows for what a strategy does: compute, send and receive, not the copies into slots and the waits', () => {
    const stages = [
      bar(0, 'compute', 0, 0, 1000), bar(0, 'send', 0, 1000, 250), bar(1, 'receive', 0, 1000, 250), bar(1, 'wait', 1, 0, 1250),
      bar(1, 'slot', 1, 1100, 10), bar(1, 'compute', 1, 1250, 750),
    ];
    expect(drawSchedule(stages, { columns: 32 })).toMatchInlineSnapshot(`
      "rank 0  compute  [===== 0 ======]
              send                     [0 ]
              receive
      rank 1  compute                      [=== 1 ====]
              send
              receive                  [0 ]
                       0                         2.0 ms"
    `);
  });

  it('shows the stretch of one rank where each goes through the layers at its own pace', () => {
    const apart = [bar(0, 'compute', 1, 0, 1000), bar(0, 'compute', 2, 1000, 1000), bar(1, 'compute', 1, 500, 2000), bar(1, 'compute', 2, 2500, 2000)];
    expect(drawSchedule(apart, { columns: 40 })).toMatchInlineSnapshot(`
      "rank 0  compute  [======= 1 ========][======= 2 ========]
      rank 1  compute            [============ 1 =============]
                       0                                 2.0 ms"
    `);
  });

  it('names the pass by a letter where passes take turns', () => {
    const turns = [0, 1, 2, 3].map((slot) => bar(0, 'compute', slot >> 1, slot * 1000, 1000, slot & 1));
    expect(drawSchedule([...turns, bar(0, 'send', 0, 1000, 1000, 0)], { columns: 39, pass: 1 })).toMatchInlineSnapshot(`
      "rank 0  compute  [=== 0b ====][=== 1a ====][=== 1b ====]
              send     [=== 0a ====]
                       0                                3.0 ms"
    `);
  });

  it('joins bars of one layer that overlap, as from several peers', () => {
    const peers = [bar(0, 'compute', 1, 0, 1000), bar(0, 'receive', 2, 0, 300), bar(0, 'receive', 2, 100, 400)];
    expect(drawSchedule(peers, { columns: 20 }).split('\n')[1]).toBe('        receive  [== 2 ===]');
  });

  it('keeps every bar in the columns of its own time, however many overlap', () => {
    const crowd = [bar(0, 'compute', 1, 0, 1000), ...[2, 3, 4, 5].map((layer) => bar(0, 'receive', layer, 100, 1)), bar(0, 'receive', 6, 500, 500)];
    expect(drawSchedule(crowd, { columns: 20 }).split('\n')[1]).toBe('        receive    |       [== 6 ===]');
  });

  it('is empty when there is nothing to show', () => {
    expect(drawSchedule([])).toBe('');
    expect(drawSchedule(events, { layers: [9] })).toBe('');
  });
});
