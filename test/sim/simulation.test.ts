import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { simulate, Steps } from '../../src/sim/schedule.ts';
import { Simulation } from '../../src/sim/simulation.ts';

const [A, B] = [0, 1];

describe('a simulation', () => {
  it('takes steps while it runs: one that is added at some moment begins then, after what it comes after', () => {
    const simulation = new Simulation();
    const times: number[][] = [];
    const first = simulation.add([], 10, 0, A);
    const long = simulation.add([], 50, 0, B);
    simulation.whenOver(first, () => {
      times.push([simulation.nowMs]);
      simulation.whenOver(simulation.add([first, long], 5, 2, A), () => times.push([simulation.nowMs]));
      simulation.whenOver(simulation.add([first], 5, 0, A), () => times.push([simulation.nowMs]));
    });
    simulation.run();
    expect(times).toEqual([[10], [15], [57]]);
  });

  it('tells of one moment in this order: ends of steps, times, then what waits for all of these, and then begins steps', () => {
    const told: string[] = [];
    const simulation = new Simulation({ onStart: (number, startMs) => void told.push(`step ${number} at ${startMs}`) });
    simulation.at(10, () => {
      told.push('time');
      simulation.add([], 1, 0, B);
    });
    const first = simulation.add([], 10, 0, A);
    simulation.add([first], 1, 0, A);
    simulation.whenOver(first, () => {
      told.push('end');
      simulation.afterMoment(() => told.push('after the moment'));
    });
    simulation.run();
    expect(told).toEqual(['step 0 at 0', 'end', 'time', 'after the moment', 'step 1 at 10', 'step 2 at 10']);
  });

  it('tells at once of what is over, however long ago', () => {
    const simulation = new Simulation();
    const first = simulation.add([], 1, 0, A);
    let before = first;
    for (let i = 0; i < 100; i++) before = simulation.add([before], 1, 0, A);
    let told = NaN;
    simulation.whenOver(before, () => simulation.whenOver(first, () => (told = simulation.nowMs)));
    simulation.run();
    expect(told).toBe(101);
  });

  it('forgets steps that are over: its memory is that of what waits and runs', () => {
    const simulation = new Simulation();
    let [left, most] = [20_000, 0];
    const next = (before: number): void => {
      most = Math.max(most, simulation.liveSteps);
      if (left-- > 0) simulation.whenOver(simulation.add([before], 1, 0, A), () => next(before));
    };
    const endless = simulation.add([], 1e9, 0, B); // runs all the time
    for (let i = 0; i < 10; i++) next(simulation.add([], 1, 0, A));
    simulation.whenOver(endless, () => (most = Math.max(most, simulation.liveSteps)));
    simulation.run();
    expect(left).toBeLessThan(0);
    expect(most).toBeLessThan(60);
  });

  it('plays steps that are added just in time as it plays those that were all there: only their order at one moment may differ', () => {
    const step = fc.record({ rank: fc.nat(3), flops: fc.integer({ min: 1, max: 50 }), back: fc.integer({ min: 1, max: 5 }) });
    fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (list) => {
      const steps = new Steps({ flopsPerSecond: [1000, 1000, 1000, 1000], bytesPerSecond: 1, latencyMs: 0 });
      // Each device in the order of the list, so that nothing depends on who is first.
      const last = new Map<number, number>();
      for (const [index, { rank, flops, back }] of list.entries()) {
        const after = [last.get(rank), index - back].filter((before): before is number => before !== undefined && before >= 0);
        last.set(rank, steps.compute(rank, flops, [...new Set(after)], { pass: 0, layer: 0 }));
      }
      const { endMs } = simulate(steps.list);
      const lazy = new Float64Array(list.length);
      const simulation = new Simulation();
      const ids: number[] = [];
      const missing = steps.list.map(({ after }) => after.length);
      const add = (index: number): void => {
        const { busyMs, channels: [channel] } = steps.list[index] as (typeof steps.list)[number];
        ids[index] = simulation.add([], busyMs, 0, channel as number);
        simulation.whenOver(ids[index], () => {
          lazy[index] = simulation.nowMs;
          for (const [follower, { after }] of steps.list.entries()) if (after.includes(index) && --(missing[follower] as number) === 0) add(follower);
        });
      };
      for (const [index, count] of missing.slice().entries()) if (count === 0) add(index);
      simulation.run();
      expect([...lazy]).toEqual([...endMs]);
    }));
  });
});
