/** The small world of the teaching page's frontend section: what it draws is what the server's scheduler does. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { presetConfig } from '../../src/model/presets.ts';
import { requestFlops } from '../../src/serving/request-flops.ts';
import { createScheduler } from '../../src/serving/scheduler.ts';
import { gathers, SCHEDULERS, type SchedulerKind } from '../../src/serving/scheduling.ts';
import { saturationThreshold } from '../../src/sim/cost.ts';
import { replay } from '../../src/sim/serving/replay.ts';
import { figuresOfPasses } from '../../web/learn/sections/frontend/figures.ts';
import { runFrontend } from '../../web/learn/sections/frontend/model.ts';
import type { FrontendRun, Pass, Routed } from '../../web/learn/sections/frontend/moments.ts';
import {
  DEVICE_FLOPS_PER_SECOND, FIRST_FRONTEND_SETTINGS, FLOPS_PER_SECOND, flopsOf, MOE_LAYERS, PREFIX_BLOCKS, REQUESTS, sceneOf, type FrontendSettings,
} from '../../web/learn/sections/frontend/scene.ts';
import { isSpill, sentenceOf } from '../../web/learn/sections/frontend/sentences.ts';
import { momentsOfArrival, momentsUntil, readerSeconds, runMs, stepFrom } from '../../web/learn/sections/frontend/timeline.ts';
import { viewAfter, type Layer } from '../../web/learn/sections/frontend/view.ts';

const settings = (patch: Partial<FrontendSettings> = {}): FrontendSettings => ({ ...FIRST_FRONTEND_SETTINGS, ...patch });
const anySettings: fc.Arbitrary<FrontendSettings> = fc.record({
  scheduler: fc.constantFrom(...SCHEDULERS), engines: fc.integer({ min: 2, max: 6 }), load: fc.constantFrom(0.5, 1.5, 3, 6), prefixes: fc.integer({ min: 1, max: 8 }),
  hotShare: fc.constantFrom(0, 0.4, 0.9), thresholdRequests: fc.integer({ min: 1, max: 8 }), cacheBlocks: fc.constantFrom(16, 48, 160), gamma: fc.constantFrom(1, 1.2, 2),
});
const routedOf = ({ moments }: FrontendRun): Routed[] => moments.filter((moment) => moment.kind === 'routed');
const ids = ({ requests }: Pass): number[] => requests.map(({ id }) => id);
const ROUNDING = 1e-9;

describe('a run', () => {
  it('routes, computes and answers every request once, after it came, under every scheduler', () => {
    fc.assert(fc.property(anySettings, (given) => {
      const run = runFrontend(given);
      const all = Array.from({ length: REQUESTS }, (_, id) => id);
      expect(run.passes.flatMap(ids).toSorted((a, b) => a - b)).toEqual(all);
      expect(routedOf(run).map(({ request }) => request).toSorted((a, b) => a - b)).toEqual(all);
      for (const { engine, requests, leftMs, startMs, endMs } of run.passes) {
        for (const { id, arrivedMs } of requests) {
          expect(arrivedMs).toBeLessThanOrEqual(leftMs);
          expect(run.answeredMs[id]).toBe(endMs);
          expect(routedOf(run).find(({ request }) => request === id)?.engine).toBe(engine);
        }
        expect(startMs).toBeGreaterThanOrEqual(leftMs);
      }
      expect(run.moments.flatMap((moment) => (moment.kind === 'started' ? [[moment.pass.id, moment.ms]] : [])).toSorted(([a = 0], [b = 0]) => a - b)).toEqual(run.passes.map(({ id, startMs }) => [id, startMs]));
      const times = run.moments.map(({ ms }) => ms);
      expect(times).toEqual(times.toSorted((a, b) => a - b));
    }), { numRuns: 25 });
  }, 120_000);

  it('fills batches up to T: a full one has a load in [T, T + last request], the others waited long enough or nothing more was to come', () => {
    for (const scheduler of SCHEDULERS.filter(gathers)) {
      for (const patch of [{}, { load: 0.5 }, { thresholdRequests: 1 }, { hotShare: 0.9, engines: 2 }]) {
        const { passes, arrivals, scene: { threshold, schedulerOptions: { maxWaitMs } } } = runFrontend(settings({ scheduler, ...patch }));
        const [full, others] = [passes.filter(({ saturated }) => saturated), passes.filter(({ saturated }) => !saturated)];
        expect(full.length).toBeGreaterThan(0);
        for (const { reckonedFlops, lastFlops } of full) {
          expect(reckonedFlops).toBeGreaterThanOrEqual(threshold);
          expect(reckonedFlops - lastFlops).toBeLessThan(threshold * (1 + ROUNDING));
        }
        for (const { reckonedFlops, requests, leftMs } of others) {
          expect(reckonedFlops).toBeLessThan(threshold);
          expect(leftMs).toBeGreaterThanOrEqual(Math.min(arrivals.at(-1)?.arrivalMs as number, maxWaitMs + Math.min(...requests.map(({ arrivedMs }) => arrivedMs))) - ROUNDING);
        }
      }
    }
  });

  it('sends each request to the engine below T that knows most of it, to the smaller load among equals', () => {
    const run = runFrontend(settings({ load: 4 }));
    for (const { engine, matched, matches, loads } of routedOf(run)) {
      const open = loads.map((load, index) => ({ index, load, match: matches[index] as number })).filter(({ load }) => load < run.scene.threshold * (1 - ROUNDING));
      const most = Math.max(...open.map(({ match }) => match));
      const least = Math.min(...open.filter(({ match }) => match === most).map(({ load }) => load));
      expect([matched, loads[engine]]).toEqual([most, expect.closeTo(least, -6)]);
    }
  });

  it('knows of every scheduler\'s choice how many blocks count as cached there', () => {
    for (const scheduler of SCHEDULERS) {
      const routed = routedOf(runFrontend(settings({ scheduler })));
      expect(routed.map(({ matches, engine }) => matches[engine])).toEqual(routed.map(({ matched }) => matched));
    }
  });

  it('lets a hot prefix spill over when who knows it is at T, and finds it there from then on', () => {
    const run = runFrontend(settings({ hotShare: 0.9 }));
    const spills = run.moments.flatMap((moment, index) => (isSpill(run, moment) ? [{ ...moment, index }] : []));
    expect(spills.length).toBeGreaterThan(0);
    for (const { matches, matched, loads } of spills) {
      expect(Math.min(...loads.filter((_, engine) => (matches[engine] as number) > matched))).toBeGreaterThanOrEqual(run.scene.threshold * (1 - ROUNDING));
    }
    const first = spills.find(({ matched }) => matched === 0) as Routed & { readonly index: number };
    const { prefix } = run.arrivals[first.request] as { readonly prefix: number };
    const sibling = run.moments.slice(first.index + 1).find((moment) => moment.kind === 'routed' && run.arrivals[moment.request]?.prefix === prefix) as Routed;
    expect(sibling.matches[first.engine]).toBe(PREFIX_BLOCKS);
  });

  it('is the same each time, and gives every scheduler the same requests', () => {
    const [one, again, other] = [runFrontend(settings()), runFrontend(settings()), runFrontend(settings({ scheduler: 'random' }))];
    expect(again.moments).toEqual(one.moments);
    expect(other.arrivals).toEqual(one.arrivals);
  });

  it('has T = MoE layers x t_EP x F x gamma, so that a batch of T hides its gathers, and one with less compute than the gathers that its slots cannot read ahead waits for the rest', () => {
    const { threshold, gatherMs } = sceneOf(settings({ gamma: 1.5 }));
    expect(saturationThreshold(MOE_LAYERS, gatherMs, FLOPS_PER_SECOND, 1.5)).toBeCloseTo(threshold, -4);
    const { passes } = runFrontend(settings({ gamma: 1.5, load: 0.5 }));
    const ownGathersMs = (MOE_LAYERS - 2) * gatherMs; // the first layer never travels, the second is there when the pass begins
    const [full, small] = [passes.filter(({ flops }) => flops >= threshold), passes.filter(({ computeMs }) => computeMs < ownGathersMs)];
    expect([full.length > 0, small.length > 0]).toEqual([true, true]);
    for (const { exposedMs } of full) expect(exposedMs).toBe(0);
    for (const { exposedMs, computeMs } of small) expect(exposedMs + computeMs).toBeGreaterThanOrEqual(ownGathersMs * (1 - ROUNDING));
  });

  it('lasts as long with some layers of the model as with all of them at the rate of a device', () => {
    const whole = requestFlops(presetConfig('qwen3-235b-a22b'));
    for (const work of [{ newTokens: 40, cachedTokens: 128 }, { newTokens: 168 }, { newTokens: 215 }]) {
      expect(flopsOf(work) / FLOPS_PER_SECOND / (whole(work) / DEVICE_FLOPS_PER_SECOND)).toBeCloseTo(1, 2);
    }
  });
});

describe('figures', () => {
  it.each(SCHEDULERS)('of %s are those of the simulator, given the same requests', (scheduler: SchedulerKind) => {
    const { arrivals, scene: { schedulerOptions, threshold, gatherMs }, passes, answeredMs } = runFrontend(settings({ scheduler }));
    const { engines, cacheBlocks } = schedulerOptions;
    const all = presetConfig('qwen3-235b-a22b');
    const config = { ...all, numHiddenLayers: MOE_LAYERS, layerIsMoe: all.layerIsMoe.slice(0, MOE_LAYERS) };
    const simulated = replay({
      prompts: arrivals, scheduler: createScheduler(schedulerOptions), cacheBlocks, flops: requestFlops(config),
      world: { config, strategy: 'asyncep', ranks: engines, candidates: 4, flopsPerSecond: FLOPS_PER_SECOND, link: null, gatherMs, wire: 'bf16', weightBytes: 2, dispatch: 'rank', depth: 1 },
    });
    const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);
    const flops = sum(simulated.passes.map((pass) => pass.flops));
    const perEngine = Array.from({ length: engines }, (_, engine) => sum(simulated.passes.filter(({ batch }) => batch.engine === engine).map((pass) => pass.flops)));
    const exposedShare = 1 - sum(simulated.totals.computeMs) / simulated.busyMs;
    expect(exposedShare).toBeGreaterThan(0);
    expect(answeredMs).toEqual(simulated.answeredMs);
    expect(figuresOfPasses(passes, engines, threshold)).toEqual({
      batches: simulated.passes.length, exposedShare: expect.closeTo(exposedShare, 9),
      hitRate: expect.closeTo(sum(simulated.passes.map(({ cachedTokens }) => cachedTokens)) / sum(simulated.passes.map(({ tokens }) => tokens)), 12),
      belowThreshold: simulated.passes.filter((pass) => pass.flops < threshold).length,
      balance: expect.closeTo((engines * Math.max(...perEngine)) / flops, 9),
      savedShare: expect.closeTo(1 - flops / sum(arrivals.map(({ tokens }) => flopsOf({ newTokens: tokens, candidates: 4 }))), 9),
      wallMs: simulated.wallMs,
    });
  });

  it('say nothing before the first batch', () => {
    expect(figuresOfPasses([], 4, 1)).toBeNull();
  });
});

describe('the view', () => {
  const sumOf = (layers: readonly Layer[]): number => layers.reduce((sum, { prefixFlops, suffixFlops }) => sum + prefixFlops + suffixFlops, 0);

  it.each(SCHEDULERS)('of %s has every request in one place, and loads as the scheduler has them', (scheduler: SchedulerKind) => {
    const run = runFrontend(settings({ scheduler, load: 5 }));
    for (const [index, moment] of run.moments.entries()) {
      const { queue, engines, arrived, answered } = viewAfter(run, index);
      const onEngines = engines.map((engine) => engine.queue.length + engine.filling.length + (engine.next?.requests.length ?? 0) + (engine.computing?.requests.length ?? 0));
      expect(queue.length + onEngines.reduce((sum, count) => sum + count, 0) + answered).toBe(arrived);
      const loads = moment.kind === 'routed' ? moment.loads : [];
      expect(engines.slice(0, loads.length).map(({ filling }) => sumOf(filling))).toEqual(loads.map((load) => expect.closeTo(load, -6) as number));
      const started = moment.kind === 'started' ? [moment.pass] : [];
      expect(started.map(({ engine }) => engines[engine]?.next)).toEqual(started);
    }
    const { queue, engines, answered, passes } = viewAfter(run, run.moments.length);
    expect([queue.length, answered, passes]).toEqual([0, REQUESTS, run.passes]);
    for (const { cache, filling, next, computing } of engines) {
      expect([filling, next, computing]).toEqual([[], null, null]);
      expect(cache.map(({ pending }) => pending)).toEqual(cache.map(() => 0));
      expect(cache.reduce((sum, { committed }) => sum + committed, 0)).toBeLessThanOrEqual(run.settings.cacheBlocks);
    }
  }, 60_000);
});

describe('the reader\'s clock', () => {
  const run = runFrontend(settings({ load: 6 }));
  const seconds = readerSeconds(run);

  it('shows one moment after the other, and the run\'s time in between', () => {
    for (const [index, at] of seconds.entries()) {
      expect(at).toBeGreaterThan(seconds[index - 1] ?? 0);
      expect([momentsUntil(seconds, at), momentsUntil(seconds, at - 1e-9)]).toEqual([index + 1, index]);
      expect(runMs(run, seconds, at)).toBe(run.moments[index]?.ms);
    }
    expect(runMs(run, seconds, (seconds[0] as number) / 2)).toBeCloseTo((run.moments[0]?.ms as number) / 2, 9);
  });

  it('steps from request to request: each step decides about one, or has one wait, and steps back are the same', () => {
    const stops = [0];
    while ((stops.at(-1) as number) < run.moments.length) stops.push(stepFrom(run.moments, stops.at(-1) as number, 1));
    const decided = stops.slice(1).map((stop, index) => run.moments.slice(stops[index], stop).filter(({ kind }) => kind === 'routed').length);
    expect(Math.max(...decided)).toBe(1);
    expect(decided.reduce((sum, count) => sum + count, 0)).toBe(REQUESTS);
    const waiting = run.moments.filter((moment) => moment.kind === 'arrived' && moment.waits).length;
    expect([waiting > 0, stops.length - 1]).toEqual([true, REQUESTS + waiting + 1]); // and one to the end
    const back = [run.moments.length];
    while ((back.at(-1) as number) > 0) back.push(stepFrom(run.moments, back.at(-1) as number, -1));
    expect(back.toReversed()).toEqual(stops);
  });

  it('finds the moment at which so many requests have come', () => {
    expect([0, 1, 17, REQUESTS].map((count) => viewAfter(run, momentsOfArrival(run.moments, count)).arrived)).toEqual([0, 1, 17, REQUESTS]);
  });
});

describe('sentences', () => {
  const run = runFrontend(settings());
  const T = run.scene.threshold;
  const routed = (patch: Partial<Routed>): Routed =>
    ({ kind: 'routed', ms: 0, request: 17, engine: 2, matched: 8, flops: 1, matches: [0, 0, 8, 0], loads: [0, 0, 0, 0], ...patch });

  it('say why a request goes where it goes', () => {
    expect([
      { kind: 'arrived', ms: 0, request: 17, waits: true } as const, routed({}), routed({ matched: 0, matches: [0, 0, 0, 0] }), routed({ matches: [8, 0, 8, 0] }),
      routed({ matched: 0, engine: 0, loads: [0, 0, 1.1 * T, 0] }), routed({ matched: 3, engine: 0, matches: [3, 8, 8, 0], loads: [0, T, T, 0] }),
    ].map((moment) => sentenceOf(run, moment))).toMatchInlineSnapshot(`
      [
        "Request 17 (prefix A, blue) arrives and waits: no engine takes more now.",
        "Request 17 (prefix A, blue): 8 of its 10 blocks are known on engine 2. It goes there.",
        "Request 17 (prefix A, blue): no engine knows its prefix, so it goes to engine 2, which has the smallest load.",
        "Request 17 (prefix A, blue): 8 of its 10 blocks are known on engine 2, as on others that have more to do. It goes there.",
        "Request 17 (prefix A, blue) spills over: engine 2 knows 8 of its 10 blocks, but is at T. It goes to engine 0, which computes the prefix once and has it from then on.",
        "Request 17 (prefix A, blue) spills over: engines 1 and 2 know 8 of its 10 blocks, but are at T. It goes to engine 0, which knows 3.",
      ]
    `);
  });

  it('say what baselines do not look at', () => {
    const least = { ...run, settings: settings({ scheduler: 'least-loaded' }) };
    expect([routed({ engine: 1, matched: 0 }), { kind: 'queued', ms: 0, request: 17, engine: 1 } as const].map((moment) => sentenceOf(least, moment))).toMatchInlineSnapshot(`
      [
        "Request 17 (prefix A, blue) goes into the next batch of engine 1, where 0 of its 10 blocks are known. There are 8 on engine 2, but this scheduler does not look.",
        "Request 17 (prefix A, blue) joins the queue of engine 1, which has the fewest requests. It stays there.",
      ]
    `);
  });

  it('say what becomes of batches', () => {
    const pass = run.passes.find(({ saturated }) => saturated) as Pass;
    const small: Pass = { ...pass, saturated: false, reckonedFlops: T / 2, requests: pass.requests.slice(0, 1), exposedMs: 12.3, leftMs: 1 };
    expect([
      { kind: 'saturated', ms: 0, engine: 2, flops: 1.06 * T } as const, { kind: 'left', ms: 0, pass: small } as const, { kind: 'started', ms: 0, pass: small } as const,
      { kind: 'ended', ms: 0, pass: small } as const, { kind: 'left', ms: 0, pass: { ...small, leftMs: 1e6 } } as const,
    ].map((moment) => sentenceOf(run, moment).replace(/engine \d/i, 'engine E'))).toMatchInlineSnapshot(`
      [
        "engine E is at T (1.06 T): its batch takes no more.",
        "A batch of engine E leaves: 1 request, 0.50 T: below T, because its first request has waited long enough.",
        "engine E computes its batch of 1 request. It has too little work to hide its gathers: 12 ms of waiting for experts.",
        "engine E has answered 1 request; its cache has 37 new blocks.",
        "A batch of engine E leaves: 1 request, 0.50 T: below T, because nothing more will come.",
      ]
    `);
  });
});
