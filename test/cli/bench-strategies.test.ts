import { describe, expect, it } from 'vitest';
import { reportWorld, type WorldReport } from '../../src/cli/bench-strategies-report.ts';
import { achievedRate, logitsDistance, runTrials, type RunContext } from '../../src/cli/bench-strategies-run.ts';
import { linkFor, parseVariant } from '../../src/cli/bench-strategies-setting.ts';
import { barChart, htmlPage } from '../../src/cli/bench-strategies-html.ts';
import { csvText, worldText } from '../../src/cli/bench-strategies-text.ts';
import { prefillFlops } from '../../src/model/flops.ts';
import { fakeLaunch, passOf, settingOf, type FakeCluster } from './bench-fakes.ts';
import { scratch } from './run.ts';

const CLUSTERS: Readonly<Record<string, FakeCluster>> = {
  asyncep: { wallMs: [900, 1000, 1300], passes: [passOf(0), passOf(1, { exposedMs: 0 })] },
  ep: { wallMs: [2000, 1500, 1700], passes: [passOf(0, { expertRows: 90 }), passOf(1, { expertRows: 30 })], shift: 0.05 },
  tp: { wallMs: [0], refuses: '2 ranks cannot split 1 <head>' },
  pp: { wallMs: [2500, 2500, 2500], passes: [passOf(0)] },
};

async function contextOf(clusters = CLUSTERS, log: string[] = [], strategies = ['asyncep', 'ep', 'tp', 'pp']): Promise<RunContext> {
  return { setting: await settingOf({ strategies }), ranks: 2, link: { bytesPerSecond: 20e6, latencyMs: 0 }, tuning: {}, tell: () => undefined, launch: fakeLaunch(clusters, log) };
}

async function worldOf(): Promise<WorldReport> {
  const context = await contextOf();
  const { trials, interleaved } = await runTrials(context);
  return reportWorld({ setting: context.setting, ranks: 2, matmulFlopsPerSecond: 10e9, link: context.link, linkLines: ['the link is given: 20MB/s'], interleaved, trials });
}

describe('a strategy by name', () => {
  it('may say what differs from the flags', () => {
    expect(parseVariant('ep')).toEqual({ label: 'ep', strategy: 'ep' });
    expect(parseVariant('ep:expert:serial')).toEqual({ label: 'ep:expert:serial', strategy: 'ep', dispatch: 'expert', passesInFlight: 1 });
    expect(() => parseVariant('ep:fast')).toThrow('--strategies: ep:fast: has an unknown part fast; expected some of expert, rank, serial');
  });

  it('reaches the cluster with what differs', async () => {
    const seen: unknown[] = [];
    const context = await contextOf({ ep: CLUSTERS['ep'] as FakeCluster }, [], ['ep', 'ep:expert:serial']);
    await runTrials({ ...context, launch: async (options) => {
      seen.push([options.strategy, options.dispatch, options.passesInFlight]);
      return context.launch(options);
    } });
    expect(seen).toEqual([['ep', 'rank', undefined], ['ep', 'expert', 1]]);
  });
});

describe('the rate that a link is held against', () => {
  it('is what passes reach under resident, of one rank', async () => {
    const context = await contextOf({ resident: { wallMs: [500], passes: [passOf(0, { flops: 3e9 }), passOf(1, { flops: 2e9 })] } }, [], ['asyncep']);
    expect(await achievedRate(context, 9e9)).toEqual({ flopsPerSecond: 5e9, by: 'what passes reach under resident' });
  });

  it('is the matmul rate where not every rank can hold all experts', async () => {
    const context = await contextOf({ resident: { wallMs: [1], refuses: 'too large' } }, [], ['asyncep']);
    expect(await achievedRate(context, 9e9)).toEqual({ flopsPerSecond: 9e9, by: 'the matmul rate' });
  });
});

describe('trials', () => {
  it('are interleaved, after one launch of each and a warm-up, and everything is closed', async () => {
    const log: string[] = [];
    const context = await contextOf(CLUSTERS, log, ['asyncep', 'ep']);
    await runTrials(context);
    const all = context.setting.prompts.length;
    const warm = Number(/asyncep runs (\d+)/.exec(log[2] ?? '')?.[1]);
    expect(warm).toBeLessThan(all);
    expect(log).toEqual([
      'launch asyncep', 'launch ep', `asyncep runs ${warm}`, `asyncep runs ${all}`, `ep runs ${warm}`, `ep runs ${all}`,
      `asyncep runs ${all}`, `ep runs ${all}`, `asyncep runs ${all}`, `ep runs ${all}`, 'close asyncep', 'close ep',
    ]);
  });

  it('hand what was tuned to the next cluster', async () => {
    const context = await contextOf();
    await runTrials(context);
    expect(context.tuning).toEqual({ fake: 'pp' });
  });

  it('keep the reason of a strategy that cannot run', async () => {
    const { trials } = await runTrials(await contextOf());
    expect(trials.map(({ strategy, reason }) => [strategy, reason])).toEqual([['asyncep', null], ['ep', null], ['tp', '2 ranks cannot split 1 <head>'], ['pp', null]]);
  });

  it('close what is open when something fails', async () => {
    const log: string[] = [];
    const context = await contextOf(CLUSTERS, log, ['asyncep', 'ep']);
    const failing = { ...context, launch: async (options: Parameters<RunContext['launch']>[0]) => {
      if (options.strategy as string === 'ep') throw new Error('driver');
      return context.launch(options);
    } };
    await expect(runTrials(failing)).rejects.toThrow('driver');
    expect(log).toEqual(['launch asyncep', 'close asyncep']);
  });

  it('compare logits by the relative L2 distance of the worst prompt', () => {
    expect(logitsDistance([Float32Array.of(3, 4), Float32Array.of(3, 4.5)], [Float32Array.of(3, 4), Float32Array.of(3, 4)])).toBeCloseTo(0.5 / 5, 12);
  });
});

describe('figures', () => {
  it('are medians, and follow their formulas', async () => {
    const { figures } = await worldOf();
    const context = await contextOf();
    const { workload, prompts, model: { config } } = context.setting;
    const [asyncep, ep, tp] = figures;
    expect(asyncep).toMatchObject({ wallMs: 1000, allWallMs: [900, 1000, 1300], tokensPerSecond: workload.tokens, speedUp: 1.7, transferMs: 10, exposedMs: 1, deviceBytes: 101, distance: null });
    expect(asyncep?.overlapEfficiency).toBeCloseTo(0.9, 12);
    expect(asyncep?.sentBytesPerRankLayer).toBe(8e6 / 4);
    const flops = prompts.reduce((sum, { length }) => sum + prefillFlops(config, { newTokens: length, candidates: 32 }, { lastLayerShortcut: true }), 0);
    expect(asyncep?.mfu).toBeCloseTo(flops / 1 / 20e9, 12);
    expect(ep).toMatchObject({ wallMs: 1700, speedUp: 1, expertImbalance: 1.5 });
    expect(ep?.distance).toBeCloseTo(0.01, 6);
    expect(tp).toMatchObject({ reason: '2 ranks cannot split 1 <head>', tokensPerSecond: null, speedUp: null });
  });

  it('count the overheads of software adapters, and still are right about the calibrating strategy', async () => {
    const worldFor = async (software: boolean, wallMs: number): Promise<WorldReport> => {
      const run = (strategyMs: number): FakeCluster => ({ wallMs: [strategyMs, strategyMs, strategyMs], passes: [passOf(0)], software });
      const context = await contextOf({ resident: run(wallMs), tp: run(9000) }, [], ['resident', 'tp']);
      const { trials, interleaved } = await runTrials(context);
      return reportWorld({ setting: context.setting, ranks: 2, matmulFlopsPerSecond: 10e9, link: context.link, linkLines: [], interleaved, trials });
    };
    const [device, software, tooQuick] = [await worldFor(false, 5000), await worldFor(true, 5000), await worldFor(true, 1)];
    expect([device, software, tooQuick].map(({ overheads }) => overheads !== null)).toEqual([false, true, false]);
    expect(software.figures[0]?.predictedMs).toBeCloseTo(5000, 3);
    expect(tooQuick.figures[0]?.predictedMs).toBeCloseTo(1, 6);
    expect(software.figures[1]?.predictedMs).toBeGreaterThan(device.figures[1]?.predictedMs as number);
    expect(worldText(software)).toMatch(/predictions count, beside FLOPs and the link: [\d.]+ ms a layer of a pass/);
    expect(worldText(device)).not.toContain('predictions count');
  });

  it('say how far off the prediction is, from a rate by which the calibrating strategy is right', async () => {
    const context = await contextOf({ ...CLUSTERS, resident: { wallMs: [800, 800, 800], passes: [passOf(0, { transferMs: 0, exposedMs: 0 })] } }, [], ['resident', 'ep']);
    const { trials, interleaved } = await runTrials(context);
    const world = reportWorld({ setting: context.setting, ranks: 2, matmulFlopsPerSecond: 10e9, link: context.link, linkLines: [], interleaved, trials });
    const [resident, ep] = world.figures;
    expect(world.calibratedBy).toBe('resident');
    expect(resident?.predictedMs).toBeCloseTo(800, 6);
    expect(ep?.predictionError).toBeCloseTo(((ep?.predictedMs ?? 0) - 1700) / 1700, 12);
  });

  it('have a threshold by the measured gather: 4 layers x 50 ms x 10 GFLOP/s x 1.2', async () => {
    expect((await worldOf()).threshold).toBeCloseTo(4 * 0.05 * 10e9 * 1.2, 3);
  });
});

describe('the report', () => {
  it('as text shows table, arithmetic and reasons', async () => {
    const text = worldText(await worldOf());
    expect(text).toContain('2 ranks\n  F = 10.0 GFLOP/s a rank (measured matmul rate)');
    expect(text).toContain('T_batch = L_moe t_EP F 1.2 = 2.40 GFLOP');
    expect(text).toMatch(/asyncep overtakes, by the cost model, with batches of so many tokens: ep [\d,]+, pp [\d,]+/);
    expect(text).toContain('tp cannot run: 2 ranks cannot split 1 <head>');
    expect(text).toMatch(/│ asyncep  │ [\d,]+ +│ 1.70 /);
  });

  it('as CSV has a line for each strategy, quoted where it must be', async () => {
    const world = await worldOf();
    const quoted = { ...world, figures: world.figures.map((figures) => (figures.reason === null ? figures : { ...figures, reason: 'a "b", c' })) };
    const lines = csvText([quoted]).trim().split('\n');
    expect(lines[0]).toBe('ranks,strategy,tokensPerSecond,speedUp,mfu,transferMs,exposedMs,overlapEfficiency,sentBytesPerRankLayer,deviceBytes,expertImbalance,wallMs,predictedMs,predictionError,distance,reason');
    expect(lines.slice(1).map((line) => line.split(',').slice(0, 2))).toEqual([['2', 'asyncep'], ['2', 'ep'], ['2', 'tp'], ['2', 'pp']]);
    expect(lines[3]).toBe('2,tp,,,,,,,,,,,,,,"a ""b"", c"');
  });

  it('as a page needs nothing else, escapes what it is told, and labels its chart', async () => {
    const world = await worldOf();
    const page = htmlPage(await settingOf(), [world], '2026-01-01', ['<fake>']);
    expect(page).not.toMatch(/https?:|<script|<link|@import|url\(|src=/);
    expect(page).not.toContain('<head> ');
    expect(page).toContain('2 ranks cannot split 1 &lt;head&gt;');
    expect(page).toContain('&lt;fake&gt;');
    expect(page).toContain('prefers-color-scheme: dark');
    expect(page).toMatch(/<svg [^>]*role="img" aria-labelledby="title-2 text-2">\n<title id="title-2">Tokens per second on 2 ranks<\/title>/);
    expect(page.match(/<rect/g)).toHaveLength(3);
    expect([...page.matchAll(/<(\w+)[ >]/g)].length).toBeGreaterThan(100);
  });

  it('draws bars in proportion: the longer of measured and predicted fills the width', async () => {
    const world = await worldOf();
    const tokens = (await settingOf()).workload.tokens;
    const figures = world.figures.map((one) => ({ ...one, predictedMs: one.wallMs }));
    const widths = [...barChart({ ...world, figures }, tokens).matchAll(/<rect [^>]*width="([\d.]+)"/g)].map(([, width]) => Number(width));
    expect(widths).toEqual([460, 270.6, 184]); // 1000 : 1700 : 2500 ms
  });
});

describe('the link', () => {
  it('of the paper depends on ranks and rate; a given one does not; none is none', async () => {
    const paper = await settingOf({ link: 'paper:8xa100-bf16' });
    expect(linkFor(paper, 2, 12e9).link?.bytesPerSecond).toBeCloseTo((300e9 / (0.32 * 312e12)) * 12e9 * (4 / 7), 3);
    expect(linkFor(paper, 1, 12e9).link).toBeNull();
    expect(linkFor(await settingOf({ link: '18MB/s,50us' }), 4, 1).link).toEqual({ bytesPerSecond: 18e6, latencyMs: 0.05 });
    expect(linkFor(await settingOf({ link: 'none' }), 4, 1).link).toBeNull();
  });
});

describe('a workload of one\'s own', () => {
  const { file } = scratch();

  it('is taken as it is: requests of a group begin alike, given tokens are kept', async () => {
    const path = file('own.jsonl', ['{"tokens":30,"prefix":20,"group":"a"}', '{"tokens":[7,8,9]}', '{"tokens":25,"prefix":20,"group":"a"}', '{"tokens":25,"prefix":20,"group":"b"}'].join('\n'));
    const { workload, prompts } = await settingOf({ workload: path });
    expect(workload).toMatchObject({ name: path, tokens: 83, contextFactor: 1, requestFactor: 1 });
    const [first, given, second, other] = prompts.map((tokens) => [...tokens]) as [number[], number[], number[], number[]];
    expect(given).toEqual([7, 8, 9]);
    expect(second.slice(0, 20)).toEqual(first.slice(0, 20));
    expect(second.slice(20)).not.toEqual(first.slice(20, 25));
    expect(other.slice(0, 20)).not.toEqual(first.slice(0, 20));
  });
});
