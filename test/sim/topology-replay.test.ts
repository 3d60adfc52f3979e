import { describe, expect, it } from 'vitest';
import { prefillFlops } from '../../src/model/flops.ts';
import { requestFlops } from '../../src/serving/request-flops.ts';
import { createScheduler } from '../../src/serving/scheduler.ts';
import type { Scheduler, SchedulerKind } from '../../src/serving/scheduling.ts';
import type { Prompt } from '../../src/sim/serving/prompts.ts';
import { replay } from '../../src/sim/serving/replay.ts';
import type { SimRequest } from '../../src/sim/serving/request.ts';
import { replayInStep, type InStepReplay, type RankRates } from '../../src/sim/topology-replay.ts';
import { inTurnScheduler } from './in-turn-scheduler.ts';
import { documents, prompt } from './serving-prompts.ts';
import { smallConfig } from './small-config.ts';

const config = smallConfig();
const RATES: RankRates = { flopsPerSecond: 1e9, gatherMs: 0, moeLayers: 4 };
/** The same for the simulator's core. */
const RESIDENT = { config, strategy: 'resident', candidates: 4, flopsPerSecond: RATES.flopsPerSecond, link: null, wire: 'f32', weightBytes: 4, dispatch: 'rank' } as const;
const msOf = (tokens: number): number => (prefillFlops(config, { newTokens: tokens, candidates: 4 }, { lastLayerShortcut: true }) / RATES.flopsPerSecond) * 1000;

/** One request a batch, to the ranks in turn. */
const play = (prompts: readonly Prompt[], ranks: number, inStep: number, rates = RATES): InStepReplay =>
  replayInStep({ prompts, scheduler: inTurnScheduler(ranks, 1), ranks, inStep, cacheBlocks: 0, rates, flops: requestFlops(config) });

const spans = ({ passes }: InStepReplay): [rank: number, startMs: number, endMs: number][] => passes.map(({ rank, startMs, endMs }) => [rank, startMs, endMs]);

describe('ranks in step', () => {
  it('end a round when the longest batch of the group is done, and begin the next one together', () => {
    const run = play([prompt(0, 100), prompt(1, 900), prompt(2, 400), prompt(3, 30)], 2, 2);
    const [first, second] = [msOf(900), msOf(400)];
    expect(spans(run)).toEqual([[0, 0, first], [1, 0, first], [0, first, first + second], [1, first, first + second]]);
    expect([...run.answeredMs]).toEqual([first, first, first + second, first + second]);
    expect(run.wallMs).toBe(first + second);
  });

  it('wait for their own group only', () => {
    const run = play([prompt(0, 100), prompt(1, 200), prompt(2, 900), prompt(3, 30)], 4, 2);
    expect(spans(run)).toEqual([[0, 0, msOf(200)], [1, 0, msOf(200)], [2, 0, msOf(900)], [3, 0, msOf(900)]]);
  });

  it('begin without the ranks that have no batch; these join the next round', () => {
    const run = play([prompt(0, 500), prompt(1, 40, { arrivalMs: 1 })], 2, 2);
    expect(spans(run)).toEqual([[0, 0, msOf(500)], [1, msOf(500), msOf(500) + msOf(40)]]);
  });

  it('are held at least by the gathers of all layers, which each rank shows as exposed by its own compute', () => {
    const gatherMs = msOf(300) / 4; // four layers: as long as 300 tokens
    const { passes } = play([prompt(0, 100), prompt(1, 200)], 2, 2, { ...RATES, gatherMs });
    for (const [i, tokens] of [100, 200].entries()) {
      expect(passes[i]?.endMs).toBeCloseTo(msOf(300), 9);
      expect(passes[i]?.exposedMs).toBeCloseTo(msOf(300) - msOf(tokens), 9);
    }
  });

  it('in groups of one are engines that wait for nobody', () => {
    const threshold = 40 * requestFlops(config)({ newTokens: 100 });
    const scheduler = (kind: SchedulerKind): Scheduler<SimRequest> =>
      createScheduler({ kind, engines: 3, threshold, batchTokens: 4000, batchBlocks: 1000, maxWaitMs: 10, cacheBlocks: 200, seed: 1 });
    const prompts = documents(40, 5, { tokens: 150, shared: 6 }).map((each, i) => ({ ...each, arrivalMs: i % 7 === 0 ? 0 : i * 2 })).toSorted((a, b) => a.arrivalMs - b.arrivalMs);
    for (const kind of ['prefix', 'grouped', 'least-loaded'] as const) {
      const [engines, ranks] = [
        replay({ prompts, scheduler: scheduler(kind), world: { ...RESIDENT, ranks: 3 }, cacheBlocks: 200, flops: requestFlops(config) }),
        replayInStep({ prompts, scheduler: scheduler(kind), ranks: 3, inStep: 1, cacheBlocks: 200, rates: RATES, flops: requestFlops(config) }),
      ];
      expect(ranks.wallMs).toBeCloseTo(engines.wallMs, 6);
      expect([...ranks.answeredMs].map((ms) => Math.round(ms * 1e6))).toEqual([...engines.answeredMs].map((ms) => Math.round(ms * 1e6)));
      expect(ranks.passes.reduce((sum, { cachedTokens }) => sum + cachedTokens, 0)).toBe(engines.passes.reduce((sum, { cachedTokens }) => sum + cachedTokens, 0));
    }
  });

  it('are refused where groups would not be whole', () => {
    expect(() => play([prompt(0, 10)], 6, 4)).toThrow('6 ranks in groups of 4; expected whole groups');
  });
});
