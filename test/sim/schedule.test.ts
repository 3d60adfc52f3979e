import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { simulate, Steps } from '../../src/sim/schedule.ts';
import { summarize } from '../../src/sim/summary.ts';

const AT = { pass: 0, layer: 0 };
const rates = { flopsPerSecond: [1000, 1000, 1000], bytesPerSecond: 1000, latencyMs: 5 };

describe('a schedule', () => {
  it('runs steps of one channel one after another, in the order in which they became ready', () => {
    const steps = new Steps(rates);
    const slow = steps.compute(0, 30, [], AT);
    steps.compute(1, 10, [], AT);
    steps.compute(0, 7, [1], AT); // ready at 10, but the device is free at 30
    const { startMs, endMs, wallMs } = simulate(steps.list);
    expect([...startMs]).toEqual([0, 0, 30]);
    expect([endMs[slow], wallMs]).toEqual([30, 37]);
  });

  it('lets a message occupy both ends for its bytes, and adds the latency behind', () => {
    const steps = new Steps(rates);
    steps.message(0, 1, 20, [], AT); // 0..20, there at 25
    steps.message(0, 2, 10, [], AT); // the sender is free at 20
    steps.message(2, 1, 10, [], AT); // the receiver is free at 20
    steps.compute(1, 1, [0], AT);
    const { startMs, endMs } = simulate(steps.list);
    expect([...startMs]).toEqual([0, 20, 20, 25]);
    expect([...endMs]).toEqual([25, 35, 35, 26]);
  });

  it('lets both directions of a link work at the same time, and reads leave the peer alone', () => {
    const steps = new Steps(rates);
    steps.message(0, 1, 20, [], AT);
    steps.message(1, 0, 20, [], AT);
    steps.read(0, 2, 20, [], AT); // rank 0 sends something else meanwhile
    expect([...simulate(steps.list).startMs]).toEqual([0, 0, 0]);
  });

  it('lets no more devices compute at once than there are processors', () => {
    const steps = new Steps(rates);
    for (const rank of [0, 1, 2]) steps.compute(rank, 10, [], AT);
    expect([...simulate(steps.list, 2).startMs]).toEqual([0, 0, 10]);
    expect([...simulate(steps.list).startMs]).toEqual([0, 0, 0]);
  });

  it('never lets two steps use a channel at once, nor one begin before what it comes after is over', () => {
    const step = fc.record({ kind: fc.constantFrom('compute', 'message'), rank: fc.nat(2), to: fc.nat(1), size: fc.integer({ min: 1, max: 50 }), after: fc.array(fc.nat(1000), { maxLength: 3 }) });
    fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (list) => {
      const steps = new Steps(rates);
      for (const [index, { kind, rank, to, size, after }] of list.entries()) {
        const before = index === 0 ? [] : [...new Set(after.map((n) => n % index))];
        if (kind === 'compute') steps.compute(rank, size, before, AT);
        else steps.message(rank, (rank + 1 + to) % 3, size, before, AT);
      }
      const { startMs, endMs } = simulate(steps.list);
      for (const [a, one] of steps.list.entries()) {
        for (const before of one.after) expect(startMs[a]).toBeGreaterThanOrEqual(endMs[before] as number);
        for (const [b, other] of steps.list.entries()) {
          if (a >= b || !one.channels.some((channel) => other.channels.includes(channel))) continue;
          const [first, second] = (startMs[a] as number) <= (startMs[b] as number) ? [a, b] : [b, a];
          expect((startMs[first] as number) + (steps.list[first]?.busyMs ?? 0)).toBeLessThanOrEqual((startMs[second] as number) + 1e-9);
        }
      }
    }));
  });
});

describe('its summary', () => {
  it('counts transfers that compute hid apart from those it did not', () => {
    const steps = new Steps({ ...rates, latencyMs: 0 });
    const first = steps.compute(0, 30, [], AT); // 0..30
    const hidden = steps.message(1, 0, 20, [], AT); // 0..20
    const late = steps.message(1, 0, 30, [hidden], AT); // 20..50, of which 20 ms beside nothing
    steps.compute(0, 10, [first, late], AT); // 50..60
    steps.compute(1, 80, [], AT);
    const [zero, one] = summarize(simulate(steps.list), 2);
    expect(zero).toEqual({ rank: 0, flops: 40, sentBytes: 0, receivedBytes: 50, loadedBytes: 0, computeMs: 40, transferMs: 50, exposedMs: 20, idleMs: 20 });
    expect(one).toEqual({ rank: 1, flops: 80, sentBytes: 50, receivedBytes: 0, loadedBytes: 0, computeMs: 80, transferMs: 50, exposedMs: 0, idleMs: 0 });
  });
});
