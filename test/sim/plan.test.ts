import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { layerExpertBytes, prefillFlops } from '../../src/model/flops.ts';
import { presetConfig } from '../../src/model/presets.ts';
import { predictRun } from '../../src/sim/cost.ts';
import { calibrate, parseBench } from '../../src/sim/plan/calibration.ts';
import { BATCH_TOKENS, crossing } from '../../src/sim/plan/curves.ts';
import { deviceMemory, fewestDevices, fits, largestBatch, longestContext, totalBytes, usableBytes, type DeviceMemory } from '../../src/sim/plan/memory.ts';
import { makePlan } from '../../src/sim/plan/plan.ts';
import { checkSetting, ratesOf, type PlanSetting } from '../../src/sim/plan/setting.ts';
import { planStrategy, runShape, type Predicted, type StrategyPlan } from '../../src/sim/plan/strategies.ts';
import { layerTraffic } from '../../src/sim/plan/traffic.ts';
import { planTransfer, transferTimes } from '../../src/sim/plan/transfer.ts';
import { hardwarePreset } from '../../src/sim/presets/hardware.ts';
import { countParameters, modelPreset } from '../../src/sim/presets/models.ts';
import { SIM_STRATEGIES } from '../../src/sim/run-shape.ts';

const QWEN = modelPreset('qwen3-235b-a22b').config;
const setting = (changes: Partial<PlanSetting> = {}): PlanSetting =>
  ({ config: QWEN, hardware: hardwarePreset('h100-80'), ranks: 8, precision: 'fp8', offload: 0, kv: 'layer', cacheTokens: 0, gamma: 1.2, ...changes });
/** 128 experts of three matrices of 4096 x 1536: the paper's 2.416 G. */
const LAYER_PARAMETERS = 128 * 3 * 4096 * 1536;
const batch = { tokens: 32_768, contextTokens: 4096 };

describe('t_EP and T', () => {
  it('is the gather of seven eighths of a layer over the link', () => {
    const { gatherMs, hostMs, transferMs, slower } = transferTimes(setting());
    expect(gatherMs).toBeCloseTo((LAYER_PARAMETERS * 7) / 8 / 450e9 * 1000 + 0.01, 9);
    expect([hostMs, transferMs, slower]).toEqual([0, gatherMs, 'gather']);
  });

  it('is the host link with offload where that is slower: an eighth of a layer over PCIe, a whole one for a device alone', () => {
    expect(transferTimes(setting({ offload: 1 }))).toMatchObject({ slower: 'host link', transferMs: (LAYER_PARAMETERS / 8 / 64e9) * 1000 + 0 });
    expect(transferTimes(setting({ offload: 1, ranks: 1 })).transferMs).toBeCloseTo((LAYER_PARAMETERS / 64e9) * 1000, 9);
    expect(transferTimes(setting({ ranks: 1 }))).toMatchObject({ transferMs: 0, slower: 'nothing travels' });
  });

  it('T of a layer is what the peak computes meanwhile, times gamma, and T of a batch that for all layers', () => {
    const { transferMs, layerThreshold, batchThreshold } = planTransfer(setting());
    expect(layerThreshold / ((transferMs / 1000) * 1979e12 * 1.2)).toBeCloseTo(1, 12);
    expect(batchThreshold / layerThreshold).toBeCloseTo(94, 9);
  });

  it('is reached by the fewest tokens that have so many FLOPs, and by fewer the longer their contexts are', () => {
    const { reach, batchThreshold } = planTransfer(setting());
    expect(reach.map(({ contextTokens }) => contextTokens)).toEqual([512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072]);
    for (const { contextTokens, tokens } of reach) {
      const each = prefillFlops(QWEN, { newTokens: contextTokens, candidates: 1 }, { lastLayerShortcut: true }) / contextTokens;
      expect(tokens * each >= batchThreshold && (tokens - 1) * each < batchThreshold).toBe(true);
    }
    const counts = reach.map(({ tokens }) => tokens);
    expect(counts).toEqual(counts.toSorted((a, b) => b - a));
    expect(new Set(counts).size).toBe(counts.length);
  });

  it('a gather is hidden earlier, at the rate that passes reach, by MFU and gamma', () => {
    const [first] = planTransfer(setting()).reach;
    expect((first?.hiddenTokens as number) / (first?.tokens as number)).toBeCloseTo(0.32 / 1.2, 3);
  });
});

describe('memory of a device', () => {
  it('under asyncep is the shared weights, the first layer, an eighth of the others and two slots', () => {
    const { shared, firstLayer, shard, slots } = deviceMemory(setting(), 'asyncep', batch);
    const { total, experts } = countParameters(QWEN);
    expect([shared, firstLayer, shard, slots]).toEqual([total - experts, LAYER_PARAMETERS, (93 * LAYER_PARAMETERS) / 8, 2 * LAYER_PARAMETERS]);
  });

  it('with offload of k layers has k + 1 slots and no shard; sync has one slot', () => {
    expect(deviceMemory(setting({ offload: 3 }), 'asyncep', batch)).toMatchObject({ shard: 0, slots: 4 * LAYER_PARAMETERS });
    expect(deviceMemory(setting(), 'sync', batch)).toMatchObject({ slots: LAYER_PARAMETERS });
  });

  it('of all devices together holds the model once under pp, and every expert once under ep, dp-tp, tp-ep and tp', () => {
    const { total, experts } = countParameters(QWEN);
    for (const strategy of ['ep', 'dp-tp', 'tp-ep', 'tp'] as const) expect(8 * deviceMemory(setting(), strategy, batch).shard).toBe(experts);
    const { shared, shard } = deviceMemory(setting({ ranks: 1 }), 'pp', batch);
    expect(shared + shard).toBe(total);
    expect(deviceMemory(setting({ ranks: 1 }), 'resident', batch).shard).toBe(experts);
  });

  it('heads are split under tp: with 8 devices for 4 heads of keys and values each head\'s are on two', () => {
    const whole = deviceMemory(setting(), 'ep', batch).shared;
    const { attention } = countParameters(QWEN);
    expect(whole - deviceMemory(setting(), 'tp', batch).shared).toBeCloseTo(attention * (1 - (8 + 1) / (64 + 4)), 0);
  });

  it('keys and values are of one layer, or of all layers where they are cached; without a cache of a chunk and what reaches into it', () => {
    const layer = 2 * 4 * 128 * 4;
    const keysAndValues = (changes: Partial<PlanSetting>) => deviceMemory(setting(changes), 'asyncep', batch).keysAndValues;
    expect(keysAndValues({})).toBe(batch.tokens * layer);
    expect(keysAndValues({ kv: 'cache', cacheTokens: 1000 })).toBe(batch.tokens * layer + 1000 * 94 * layer);
    expect(keysAndValues({ kv: 'none' })).toBe(batch.contextTokens * layer);
  });

  it('with offload rows travel between parts that come from host memory: a first layer\'s part and k + 1 slots for it, no shard', () => {
    const part = LAYER_PARAMETERS / 8;
    for (const strategy of ['ep', 'dp-tp', 'tp-ep', 'tp'] as const) expect(deviceMemory(setting({ offload: 2 }), strategy, batch)).toMatchObject({ firstLayer: part, shard: 0, slots: 3 * part });
    // A stage has whole layers, twelve of them.
    expect(deviceMemory(setting({ offload: 2 }), 'pp', batch)).toMatchObject({ firstLayer: LAYER_PARAMETERS, shard: 0, slots: 3 * LAYER_PARAMETERS });
    expect(deviceMemory(setting({ offload: 100 }), 'pp', batch).slots).toBe(12 * LAYER_PARAMETERS);
  });

  it('limits: the largest batch and the longest context fit, 64 tokens more do not', () => {
    for (const strategy of ['asyncep', 'ep'] as const) {
      const [tokens, context] = [largestBatch(setting(), strategy, 4096), longestContext(setting(), strategy)];
      expect([0, 64].map((more) => fits(setting(), strategy, { tokens: tokens + more, contextTokens: 4096 }))).toEqual([true, false]);
      expect([0, 64].map((more) => fits(setting(), strategy, { tokens: context + more, contextTokens: context + more }))).toEqual([true, false]);
    }
  });

  it('the fewest devices fit, and one fewer does not; one is enough with offload', () => {
    const fewest = fewestDevices(setting(), 'asyncep', batch) as number;
    expect([0, 1].map((fewer) => fits(setting({ ranks: fewest - fewer }), 'asyncep', batch))).toEqual([true, false]);
    expect(fewestDevices(setting({ offload: 1 }), 'asyncep', batch)).toBe(1);
    expect(fewestDevices(setting(), 'resident', batch)).toBeNull();
  });
});

describe('bytes of a layer by the paper\'s table', () => {
  const shape = { ranks: 8, tokens: 1000, hiddenSize: 4096, topK: 8, rowElementBytes: 2, layerBytes: LAYER_PARAMETERS };
  const row = (7 / 8) * 1000 * 4096 * 2;
  it.each([
    ['ep', 4 * 8 * row], ['dp-tp', 4 * row], ['tp', 4 * row], ['tp-ep', (2 + 4 * 8) * row], ['pp', 2 * 1000 * 4096 * 2], ['resident', 0], ['asyncep', 2 * (7 / 8) * LAYER_PARAMETERS],
  ] as const)('%s sends and receives %d together', (strategy, bytes) => {
    const { sentBytes, receivedBytes } = layerTraffic(strategy, shape);
    expect(sentBytes).toBe(receivedBytes);
    expect(sentBytes + receivedBytes).toBe(bytes);
  });

  it('weights are off the path under asyncep, on it under sync, and nothing travels with one device', () => {
    expect(layerTraffic('asyncep', shape).onPath).toBe(false);
    expect(layerTraffic('sync', shape).onPath).toBe(true);
    for (const strategy of SIM_STRATEGIES) expect(layerTraffic(strategy, { ...shape, ranks: 1 })).toMatchObject({ sentBytes: 0, onPath: false });
  });
});

describe('a strategy', () => {
  const lengths = Array.from({ length: 64 }, () => 4096);

  it('that does not fit says what it needs', () => {
    const { reason, predicted, memoryBytes } = planStrategy(setting(), { lengths, batchTokens: 32_768 }, 'resident');
    expect(reason).toBe(`needs ${((memoryBytes as number) / 1e9).toFixed(1)} GB of 72.0 GB usable`);
    expect(predicted).toBeNull();
  });

  it('that splits what cannot be split says so, and one that sends rows wants two devices', () => {
    const tooFew = { ...QWEN, numAttentionHeads: 4, numKeyValueHeads: 2 };
    expect(planStrategy(setting({ config: tooFew }), { lengths, batchTokens: 32_768 }, 'tp')).toMatchObject({ memory: null, reason: expect.stringContaining('cannot split 4 attention heads') });
    expect(planStrategy(setting({ ranks: 1 }), { lengths, batchTokens: 32_768 }, 'ep').reason).toBe('takes at least 2 devices');
  });

  it('with offload is planned where rows travel, too: no faster than its experts come from host memory; resident has nothing to bring in', () => {
    const work = { lengths: Array.from({ length: 64 }, () => 512), batchTokens: 512 };
    const tokensPerSecond = (offload: number) => planStrategy(setting({ offload }), work, 'dp-tp').predicted?.tokensPerSecond as number;
    // Eight sequences a device go in passes of one, two passes at a time share the loads of an eighth of each layer but the first.
    const loadsMs = 4 * 93 * (LAYER_PARAMETERS / 8 / 64e9) * 1000;
    expect(tokensPerSecond(1) / tokensPerSecond(0)).toBeLessThan(0.5);
    expect(Math.abs(tokensPerSecond(1) / ((64 * 512) / (loadsMs / 1000)) - 1)).toBeLessThan(0.1);
    const offloaded = setting({ offload: 1 });
    expect(planStrategy(offloaded, work, 'resident')).toMatchObject({ reason: 'keeps every expert on the device and has nothing to bring in', predicted: null });
  });

  it('that hides all its transfers computes at the rate that passes reach: MFU is that of the machine', () => {
    const plan = planStrategy(setting(), { lengths, batchTokens: 32_768 }, 'asyncep');
    expect(plan.reason).toBeNull();
    expect(plan.predicted?.mfu).toBeCloseTo(0.32, 3);
    const { peakFlopsPerSecond } = ratesOf(setting());
    const flops = prefillFlops(QWEN, { newTokens: 4096, candidates: 1 }, { lastLayerShortcut: true });
    expect(plan.predicted?.tokensPerSecond).toBeCloseTo((0.32 * peakFlopsPerSecond * 8 * 4096) / flops, -2);
  });

  it('sends in the simulator what its collectives send: dp-tp the paper\'s bytes for own tokens, but of the last layer, and a packet\'s choices', () => {
    const { predicted, traffic } = planStrategy(setting({ config: presetConfig('qwen3-235b-a22b', { layers: 8 }) }), { lengths, batchTokens: 32_768 }, 'dp-tp');
    // 7 of 8 layers move all rows; 8 choices of 8 bytes in a packet of 4096 x 2 bytes, in one of two collectives.
    expect(((predicted?.sentBytesPerLayer as number) * 8) / 7 / traffic.sentBytes).toBeCloseTo(1 + 64 / 8192 / 2, 2);
  });

  it.each([['asyncep', 0], ['tp', 0], ['ep', 1]] as const)('%s with offload of %i layers is predicted by some of the layers as by all of them, where transfers show', (strategy, offload) => {
    const [some, work] = [setting({ offload }), { lengths: Array.from({ length: 32 }, () => 1024), batchTokens: 2048 }];
    const { wallMs } = predictRun({ ...runShape(some, work), strategy });
    const tokensPerSecond = planStrategy(some, work, strategy).predicted?.tokensPerSecond as number;
    expect(Math.abs(tokensPerSecond / ((32 * 1024) / (wallMs / 1000)) - 1)).toBeLessThan(0.05);
  });

  it('that waits for its transfers loses as long as they take: sync, a batch each', () => {
    const plan = planStrategy(setting(), { lengths, batchTokens: 32_768 }, 'sync');
    const { gatherMs } = transferTimes(setting());
    expect((plan.predicted?.exposedMs as number) / (93 * gatherMs)).toBeCloseTo(1, 1);
  });
});

describe('a plan', () => {
  const fourLayers = presetConfig('qwen3-235b-a22b', { layers: 4 });

  it('takes the batch that reaches T, and no more than fits', () => {
    const plan = makePlan(setting({ config: fourLayers, ranks: 2 }), { workload: 'medium', crossOvers: false });
    const reached = plan.transfer.reach.find(({ contextTokens }) => contextTokens === 4096)?.tokens as number;
    expect(plan.work).toMatchObject({ meanTokens: 4096, batchReason: 'what reaches T', batchTokens: 1024 * Math.ceil(reached / 1024) });
    const roomForFewer = { ...hardwarePreset('h100-80'), memoryBytes: { value: 24e9, kind: 'estimate' as const, source: 'test' } };
    const small = setting({ config: fourLayers, ranks: 2, hardware: roomForFewer, gamma: 1000 });
    const { work, strategies } = makePlan(small, { workload: 'medium', crossOvers: false });
    expect(work.batchReason).toMatch(/^what fits under asyncep; T takes \d+$/);
    expect(totalBytes(strategies[0]?.memory as DeviceMemory)).toBeLessThanOrEqual(usableBytes(small));
    expect(fits(small, 'asyncep', { tokens: work.batchTokens + 64, contextTokens: 4096 })).toBe(false);
  });

  it('for too few devices tells how many it takes, and that offload takes one', () => {
    const plan = makePlan(setting({ ranks: 2 }), { workload: 'medium', batchTokens: 16_384, crossOvers: false });
    expect(plan.strategies[0]?.reason).toMatch(/^needs .* GB of 72\.0 GB usable$/);
    expect(plan.fewestDevices).toEqual({ asAsked: fewestDevices(setting(), 'asyncep', { tokens: 16_384, contextTokens: 4096 }), offloaded: 1 });
  });

  it('has enough requests that no device is alone with the longest for long: it is at most a share of the work, so idle time is less than half', () => {
    const { work, strategies } = makePlan(setting({ config: fourLayers, ranks: 4 }), { workload: 'mixed', batchTokens: 8192, crossOvers: false });
    expect(work.tokens).toBeGreaterThan(4 * 2 * 8192);
    const { idleMs, wallMs } = (strategies[0] as StrategyPlan).predicted as Predicted;
    expect(idleMs / wallMs).toBeLessThan(0.5);
  });

  it('with cross-overs: asyncep is ahead from fewer tokens where links are faster', () => {
    const slow = { ...hardwarePreset('h100-80'), link: { bytesPerSecond: { value: 100e9, kind: 'estimate' as const, source: 'test' }, latencyMs: { value: 0.01, kind: 'estimate' as const, source: 'test' } } };
    const [fast, slower] = [hardwarePreset('h100-80'), slow].map((hardware) =>
      makePlan(setting({ hardware, ranks: 2, config: presetConfig('qwen3-30b-a3b', { layers: 4 }) }), { workload: 'short', batchTokens: 8192 }).crossOvers.ep) as [number, number];
    expect(fast).toBeGreaterThan(0);
    expect(slower).toBeGreaterThan(fast);
  });

  it('curves: crossing finds where a lead turns, within the last pair of points between which it does', () => {
    // A lead that grows with the logarithm of the tokens and is nothing at 3000.
    const leadAt = (tokens: number) => Math.log(tokens / 3000);
    expect(Math.abs((crossing(BATCH_TOKENS.map(leadAt), leadAt) as number) - 3000)).toBeLessThanOrEqual(1);
    expect(crossing(BATCH_TOKENS.map(() => 1), leadAt)).toBe(512);
    expect(crossing(BATCH_TOKENS.map(() => -1), leadAt)).toBeNull();
  });

  it.each([
    [{ ranks: 9 }, '--ranks: 9 devices asked for; expected 1 to 8, as 8 x H100-80 has'],
    [{ offload: -1 }, '--offload: -1 layers asked for; expected a whole number of at least 0'],
    [{ gamma: 0.5 }, '--gamma: 0.5; expected a number of at least 1'],
    [{ cacheTokens: 1.5 }, '--cache-tokens: 1.5; expected a whole number of at least 0'],
  ])('refuses %j', (changes, message) => {
    expect(() => checkSetting(setting(changes))).toThrow(new InputError(message.slice(0, message.indexOf(':')), '', message.slice(message.indexOf(':') + 2)));
  });
});

describe('calibration by a bench', () => {
  const json = JSON.parse(readFileSync(new URL('../../bench/results/strategies-mixed.json', import.meta.url), 'utf8')) as Record<string, unknown>;

  it('takes the matmul rate as the peak, what passes reach of it, and the link that was there', () => {
    const hardware = calibrate(hardwarePreset('lavapipe'), parseBench(json, 'mixed.json'), 2, 'mixed.json');
    const [world] = json['worlds'] as { matmulFlopsPerSecond: number; kernelFlopsPerSecond: number; link: { bytesPerSecond: number } }[];
    expect(ratesOf({ hardware, precision: 'bf16' })).toMatchObject({ peakFlopsPerSecond: world?.matmulFlopsPerSecond, computedAs: 'fp32', link: { bytesPerSecond: world?.link.bytesPerSecond } });
    expect(ratesOf({ hardware, precision: 'bf16' }).achievedFlopsPerSecond).toBeCloseTo(world?.kernelFlopsPerSecond as number, 0);
    expect(hardware.mfu).toMatchObject({ kind: 'measured', source: 'mixed.json, 2 ranks' });
  });

  it('without a shaped link takes the gather of a layer', () => {
    const report = parseBench(json, 'mixed.json');
    const [world] = report.worlds as [(typeof report.worlds)[number]];
    const hardware = calibrate(hardwarePreset('lavapipe'), { ...report, worlds: [{ ...world, link: null, gatherMs: 500 }] }, 2, 'x');
    const bench = modelPreset('qwen3-30b-a3b').config;
    const layer = layerExpertBytes({ ...bench, hiddenSize: 256, moeIntermediateSize: 640, numExperts: 16 }, 2);
    expect(hardware.link?.bytesPerSecond.value).toBe(layer / 2 / 0.5);
  });

  it('of a file that is no report is refused by the field', () => {
    expect(() => parseBench({ ...json, worlds: [] }, 'mixed.json')).toThrow(/^mixed\.json: worlds: .*; expected what bench strategies --json writes$/);
  });
});
