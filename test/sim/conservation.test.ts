/** Whatever the model, the machine and the work: nothing is lost, nothing happens twice, and nothing is faster than its channels. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { splitIntoBatches } from '../../src/cluster/batching.ts';
import { prefillFlops } from '../../src/model/flops.ts';
import { predictRun } from '../../src/sim/cost.ts';
import { jointPassesOf } from '../../src/sim/passes.ts';
import { SIM_STRATEGIES, STRATEGY_KINDS, type RunShape, type SimStrategy } from '../../src/sim/run-shape.ts';
import type { Step } from '../../src/sim/schedule.ts';
import { hostBytes, rowBytes, sum, weightBytes } from './byte-formulas.ts';
import { smallConfig } from './small-config.ts';

const integer = (min: number, max: number) => fc.integer({ min, max });

const models = fc.record({
  hidden: integer(9, 40), kvHeads: integer(1, 3), group: integer(1, 4), experts: integer(4, 8), topK: integer(1, 4), width: integer(4, 9), layers: integer(4, 6), dense: fc.constantFrom([], [0], [1, 3], [3]),
});
const machines = fc.record({
  ranks: integer(1, 4), rate: fc.double({ min: 1e5, max: 1e9, noNaN: true }), latencyMs: fc.constantFrom(0, 0.05), host: fc.constantFrom(1e6, 1e8, Infinity), depth: integer(1, 3),
  offload: fc.constantFrom(0, 0, 1, 2, 5), inFlight: fc.constantFrom(undefined, 1, 3), wire: fc.constantFrom('f32' as const, 'bf16' as const), dispatch: fc.constantFrom('rank' as const, 'expert' as const),
  speeds: fc.array(integer(1, 9), { minLength: 4, maxLength: 4 }),
});
const work = fc.record({ lengths: fc.array(fc.oneof(integer(1, 8), integer(1, 200)), { minLength: 1, maxLength: 14 }), batchTokens: integer(20, 300), candidates: integer(0, 5) });

/** Any run of a strategy that can be; ranks that would have no head are left out. */
const runs = (strategy: SimStrategy): fc.Arbitrary<RunShape> => fc.tuple(models, machines, work).map(([model, machine, { lengths, batchTokens, candidates }]): RunShape => {
  const heads = model.kvHeads * model.group;
  const { ranks, rate, latencyMs, host, depth, offload, inFlight, wire, dispatch, speeds } = machine;
  const most = strategy === 'tp' || strategy === 'tp-ep' ? Math.min(ranks, heads) : ranks;
  return {
    config: smallConfig({
      hidden_size: model.hidden, num_attention_heads: heads, num_key_value_heads: model.kvHeads, num_experts: model.experts, num_experts_per_tok: model.topK,
      moe_intermediate_size: 8 * model.width, num_hidden_layers: model.layers, mlp_only_layers: model.dense,
    }),
    strategy, ranks: most, lengths, batchTokens, candidates, flopsPerSecond: speeds.slice(0, most).map((speed) => speed * 1e8), link: { bytesPerSecond: rate, latencyMs },
    hostBytesPerSecond: host, wire, weightBytes: 2, dispatch, depth, ...(strategy !== 'resident' && { offload: { layers: offload } }), ...(inFlight !== undefined && { inFlight }),
  };
});

const settings = { numRuns: 40 };

/** Passes that each rank computes something of. */
const passesOf = ({ ranks }: RunShape, steps: readonly Step[]): number[] =>
  Array.from({ length: ranks }, (_, rank) => new Set(steps.flatMap((step) => (step.kind === 'compute' && step.rank === rank ? [step.pass] : []))).size);

/** Layers that a rank computes. */
const layersOf = (steps: readonly Step[]) => (rank: number): Set<number> =>
  new Set(steps.flatMap((step) => (step.kind === 'compute' && step.rank === rank && step.layer !== null ? [step.layer] : [])));

describe.each(SIM_STRATEGIES)('%s', (strategy) => {
  const kind = STRATEGY_KINDS[strategy];

  it('moves as many bytes between ranks as the formulas say', () => {
    fc.assert(fc.property(runs(strategy), (shape) => {
      const { ranks, schedule: { steps } } = predictRun(shape);
      const { sent, received } = kind === 'streaming' ? weightBytes(shape, passesOf(shape, steps)) : rowBytes(shape, jointPassesOf(shape));
      for (const [rank, { sentBytes, receivedBytes }] of ranks.entries()) {
        expect(sentBytes).toBeCloseTo(sent[rank] as number, 4);
        expect(receivedBytes).toBeCloseTo(received[rank] as number, 4);
      }
    }), settings);
  });

  it('runs every sequence once', () => {
    fc.assert(fc.property(runs(strategy), (shape) => {
      const passes = passesOf(shape, predictRun(shape).schedule.steps);
      const expected = kind === 'streaming' ? splitIntoBatches(shape.lengths, shape.batchTokens, shape.ranks).length : jointPassesOf(shape).length;
      expect(kind === 'streaming' ? sum(passes) : Math.max(...passes)).toBe(expected);
    }), settings);
  });

  it('brings every layer that is not on the device in from host memory, once for each pass or round', () => {
    fc.assert(fc.property(runs(strategy), (shape) => {
      const { ranks, schedule: { steps } } = predictRun(shape);
      const expected = hostBytes(shape, { passes: passesOf(shape, steps), rounds: Math.ceil(jointPassesOf(shape).length / (shape.inFlight ?? 2)), layersOf: layersOf(steps) });
      for (const [rank, { loadedBytes }] of ranks.entries()) expect(loadedBytes).toBeCloseTo(expected[rank] as number, 4);
    }), settings);
  });

  it('computes the true FLOPs, and more only where ranks share a key-value head', () => {
    fc.assert(fc.property(runs(strategy), (shape) => {
      const { config, lengths, candidates, ranks } = shape;
      const { hiddenSize, headDim, numKeyValueHeads, numHiddenLayers } = config;
      const once = sum(lengths.map((newTokens) => prefillFlops(config, { newTokens, candidates }, { lastLayerShortcut: true })));
      const copies = strategy === 'tp' || strategy === 'tp-ep' ? Math.max(0, ranks - numKeyValueHeads) : 0;
      const again = 4 * sum(lengths) * hiddenSize * headDim * copies * numHiddenLayers;
      expect(sum(predictRun(shape).ranks.map(({ flops }) => flops)) / (once + again)).toBeCloseTo(1, 12);
    }), settings);
  });

  it('does the same twice', () => {
    fc.assert(fc.property(runs(strategy), (shape) => {
      const [one, other] = [predictRun(shape), predictRun(shape)];
      expect([...other.schedule.startMs]).toEqual([...one.schedule.startMs]);
      expect([...other.schedule.endMs]).toEqual([...one.schedule.endMs]);
      expect(other.ranks).toEqual(one.ranks);
    }), { numRuns: 10 });
  });

  it('has one step at a time on a channel, each after what it needs', () => {
    fc.assert(fc.property(runs(strategy), (shape) => {
      const { steps, startMs, endMs } = predictRun(shape).schedule;
      const channels = new Map<number, { from: number; to: number }[]>();
      for (const [i, { after, channels: used, busyMs }] of steps.entries()) {
        const from = startMs[i] as number;
        for (const before of after) expect(from).toBeGreaterThanOrEqual(endMs[before] as number);
        for (const channel of used) channels.set(channel, [...(channels.get(channel) ?? []), { from, to: from + busyMs }]);
      }
      for (const spans of channels.values()) {
        spans.sort((a, b) => a.from - b.from || a.to - b.to);
        for (const [i, { to }] of spans.entries()) expect(spans[i + 1]?.from ?? Infinity).toBeGreaterThanOrEqual(to - 1e-9);
      }
    }), { numRuns: 15 });
  });

  it('takes at least as long as each device computes, and as each direction of a link and host memory take for what is waited for', () => {
    fc.assert(fc.property(runs(strategy), (shape) => {
      const { wallMs, schedule: { steps } } = predictRun(shape);
      // What asyncep and windows fetch for the run after this one is waited for by nobody.
      const needed = new Set(steps.flatMap(({ kind: what, after }) => (what === 'compute' ? after : [])));
      const { bytesPerSecond } = shape.link as { bytesPerSecond: number };
      const seconds = (of: (step: Step) => boolean, rate: number, size: 'bytes' | 'flops'): number => sum(steps.filter((step, i) => of(step) && (size === 'flops' || needed.has(i))).map((step) => step[size])) / rate;
      for (let rank = 0; rank < shape.ranks; rank++) {
        const least = [
          seconds((step) => step.rank === rank, (shape.flopsPerSecond as number[])[rank] as number, 'flops'),
          seconds((step) => step.kind === 'message' && step.rank === rank, bytesPerSecond, 'bytes'),
          seconds(({ kind: what, to }) => (what === 'message' || what === 'read') && to === rank, bytesPerSecond, 'bytes'),
          seconds((step) => step.kind === 'load' && step.rank === rank, shape.hostBytesPerSecond as number, 'bytes'),
        ];
        for (const bound of least) expect(wallMs).toBeGreaterThanOrEqual(bound * 1000 * (1 - 1e-9));
      }
    }), settings);
  });
});
