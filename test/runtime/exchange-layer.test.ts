/** One MoE layer, its experts divided over ranks and its rows exchanged, against the same layer in one piece. */
import { describe, expect, it } from 'vitest';
import { type ExpertLayout, expertLayout, packExpert } from '../../src/engine/expert-layout.ts';
import {
  dispatchPlan, encodeRows, packetBytes, packRows, reduceRows, rowBytes, unpackRows, WIRE_DTYPES, type WireDtype,
} from '../../src/runtime/kernels/exchange.ts';
import { combine, expertSort, maxExpertTiles } from '../../src/runtime/kernels/experts.ts';
import { groupedMatmul, groupedSwiglu } from '../../src/runtime/kernels/matmul.ts';
import { packedBytes } from '../../src/runtime/layout.ts';
import { defaultPlan, type MatmulShape, type OperandDtype, tileRows } from '../../src/runtime/plan.ts';
import type { Matrix } from '../../src/runtime/reference/tensor.ts';
import { adapters, type Rig, useDevice } from './adapters.ts';
import { asFloats, bytesBuffer, expectPoison, f32Buffer, operandBuffer, poisoned, rawMatrix, readWords, relativeL2, u32Buffer } from './buffers.ts';
import { type Random, randomMatrix, testRandom } from './random.ts';

interface Layer {
  readonly layout: ExpertLayout;
  readonly experts: number;
  readonly topK: number;
  /** Packed experts, one after the other. */
  readonly bytes: Uint8Array;
  readonly shape: MatmulShape;
  readonly type: OperandDtype;
}

/** Tokens of one rank. */
interface Batch {
  readonly tokens: number;
  /** Residual stream, f32 [tokens, H] (H is a multiple of 8 here, so that rows have no padding). */
  readonly x: Matrix;
  /** Normed rows. */
  readonly a: Matrix;
  readonly ids: readonly number[];
  readonly weights: readonly number[];
}

function randomLayer(random: Random, experts: number, topK: number, shape: MatmulShape, type: OperandDtype): Layer {
  const [hiddenSize, moeIntermediateSize] = [8 * random.integer(2, 6), random.integer(5, 20)];
  const layout = expertLayout({ hiddenSize, moeIntermediateSize }, 'f32');
  const bytes = new Uint8Array(experts * layout.expertBytes);
  const matrix = (rows: number, columns: number) => rawMatrix(randomMatrix(random, rows, columns, 'f32', 1.5 / Math.sqrt(columns)));
  for (let e = 0; e < experts; e++) {
    const mlp = { gate: matrix(moeIntermediateSize, hiddenSize), up: matrix(moeIntermediateSize, hiddenSize), down: matrix(hiddenSize, moeIntermediateSize) };
    packExpert(mlp, layout, bytes.subarray(e * layout.expertBytes, (e + 1) * layout.expertBytes));
  }
  return { layout, experts, topK, bytes, shape, type };
}

function randomBatch(random: Random, { layout, experts, topK, type }: Layer, tokens: number): Batch {
  const all = Array.from({ length: experts }, (_, e) => e);
  return {
    tokens,
    x: randomMatrix(random, tokens, layout.hiddenSize, 'f32'),
    a: randomMatrix(random, tokens, layout.hiddenSize, type),
    ids: Array.from({ length: tokens }, () => random.shuffled(all).slice(0, topK)).flat(),
    weights: Array.from({ length: tokens * topK }, () => Math.fround(random.uniform() + 0.05)),
  };
}

/** Cuts experts into one run for each rank, of uneven lengths, none empty. */
function unevenRuns(random: Random, experts: number, world: number): { readonly first: number; readonly count: number }[] {
  const inner = random.shuffled(Array.from({ length: experts - 1 }, (_, e) => e + 1)).slice(0, world - 1).sort((a, b) => a - b);
  const cuts = [0, ...inner, experts];
  return Array.from({ length: world }, (_, rank) => ({ first: cuts[rank]!, count: cuts[rank + 1]! - cuts[rank]! }));
}

interface Routed {
  readonly rows: number;
  readonly choices: number;
  readonly a: GPUBuffer;
  readonly ids: GPUBuffer;
  readonly weights: GPUBuffer;
  readonly out: GPUBuffer;
  readonly assign: boolean;
}

/** Experts [first, first + count) on rows whose ids count from `first`; id `count` is nobody's. Returns what the products made of y. */
async function runExperts({ gpu, recorder }: Rig, { layout, bytes, shape, type }: Layer, first: number, count: number, op: Routed): Promise<{ y: Uint32Array; used: number }> {
  const { hiddenSize, upRow, intermediateSize, expertBytes, downOffset } = layout;
  const pairs = op.rows * op.choices;
  const words = (n: number) => poisoned(gpu, 4 * n);
  const maxTiles = maxExpertTiles(pairs, count + 1, tileRows(shape));
  const sorted = { tiles: words(4 * maxTiles), tileBase: words(count + 2), rowToken: words(pairs), pairRow: words(pairs), offsets: words(count + 2) };
  const [act, y] = [poisoned(gpu, packedBytes(pairs, intermediateSize, type), type), words(pairs * hiddenSize)];
  const banks = [{ buffer: bytesBuffer(gpu, bytes.subarray(first * expertBytes, (first + count) * expertBytes)), firstExpert: 0, experts: count, expertBytes }];
  const common = { shape, aType: type, bType: layout.dtype, banks, sorted: { tiles: sorted.tiles, tileBase: sorted.tileBase, maxTiles } };
  expertSort(gpu, recorder, {
    tokens: op.rows, experts: count + 1, topK: op.choices, tileRows: tileRows(shape), ids: op.ids, counts: words(count + 1), ranks: words(pairs), ...sorted,
  });
  groupedSwiglu(gpu, recorder, { ...common, a: op.a, k: hiddenSize, columns: upRow, matrixOffset: 0, upRow, out: act, rowToken: sorted.rowToken });
  groupedMatmul(gpu, recorder, { ...common, a: act, k: intermediateSize, columns: hiddenSize, matrixOffset: downOffset, out: y });
  combine(gpu, recorder, { tokens: op.rows, stride: hiddenSize, topK: op.choices, y, pairRow: sorted.pairRow, weights: op.weights, x: op.out, assign: op.assign });
  recorder.submit();
  return { y: await readWords(gpu, y), used: (await readWords(gpu, sorted.offsets))[count]! };
}

/** x + MoE(a) in one piece. */
async function undivided(rig: Rig, layer: Layer, batch: Batch): Promise<Float32Array> {
  const { gpu } = rig;
  const x = f32Buffer(gpu, batch.x.values);
  await runExperts(rig, layer, 0, layer.experts, {
    rows: batch.tokens, choices: layer.topK, a: operandBuffer(gpu, batch.a, layer.type), ids: u32Buffer(gpu, batch.ids), weights: f32Buffer(gpu, batch.weights), out: x, assign: false,
  });
  return asFloats(await readWords(gpu, x));
}

interface Exchange {
  readonly world: number;
  readonly unitsPerToken: number;
  readonly wire: WireDtype;
  /** Rank of each expert. */
  readonly owners: readonly number[];
}

interface Outgoing {
  readonly packets: Uint8Array;
  readonly counts: Uint32Array;
  readonly starts: Uint32Array;
  readonly rowOf: GPUBuffer;
}

/** What a rank has for every rank. */
async function dispatch({ gpu, recorder }: Rig, layer: Layer, batch: Batch, ownRank: number, { world, unitsPerToken, wire, owners }: Exchange): Promise<Outgoing> {
  const [units, choices] = [batch.tokens * unitsPerToken, layer.topK / unitsPerToken];
  const hidden = layer.layout.hiddenSize;
  const maxRows = units * Math.min(world, choices);
  const plan = { counts: poisoned(gpu, 4 * world), starts: poisoned(gpu, 4 * (world + 1)), rowOf: poisoned(gpu, 4 * units * world), unitOf: poisoned(gpu, 4 * maxRows) };
  const [ids, weights] = [u32Buffer(gpu, batch.ids), f32Buffer(gpu, batch.weights)];
  const out = poisoned(gpu, maxRows * packetBytes(hidden, wire, choices));
  dispatchPlan(gpu, recorder, { units, choices, world, ownRank, ids, owners: u32Buffer(gpu, owners), ...plan });
  packRows(gpu, recorder, {
    maxRows, unitOf: plan.unitOf, total: plan.starts, totalIndex: world, unitsPerToken, choices, hidden, wire,
    source: operandBuffer(gpu, batch.a, layer.type), sourceType: layer.type, ids, weights, out,
  });
  recorder.submit();
  const [packets, counts, starts] = [await readWords(gpu, out), await readWords(gpu, plan.counts), await readWords(gpu, plan.starts)];
  return { packets: new Uint8Array(packets.buffer), counts, starts, rowOf: plan.rowOf };
}

/** Rows that rank `rank` received -> its weighted sums as wire rows. */
async function answer(rig: Rig, layer: Layer, run: { first: number; count: number }, packets: Uint8Array, { unitsPerToken, wire }: Exchange): Promise<Uint8Array> {
  const { gpu, recorder } = rig;
  const choices = layer.topK / unitsPerToken;
  const hidden = layer.layout.hiddenSize;
  const rows = packets.byteLength / packetBytes(hidden, wire, choices);
  if (rows === 0) return new Uint8Array();
  const [a, ids, weights] = [poisoned(gpu, packedBytes(rows, hidden, layer.type), layer.type), poisoned(gpu, 4 * rows * choices), poisoned(gpu, 4 * rows * choices)];
  unpackRows(gpu, recorder, { rows, hidden, wire, choices, packets: bytesBuffer(gpu, packets), out: a, outType: layer.type, ids, weights, firstExpert: run.first, experts: run.count });
  const sums = poisoned(gpu, rows * hidden * 4);
  const { y, used } = await runExperts(rig, layer, run.first, run.count, { rows, choices, a, ids, weights, out: sums, assign: true });
  expectPoison(y, used * hidden, y.length); // rows of other ranks' experts are nobody's work
  const out = poisoned(gpu, rows * rowBytes(hidden, wire));
  encodeRows(gpu, recorder, { rows, hidden, stride: hidden, wire, from: sums, out });
  recorder.submit();
  return new Uint8Array((await readWords(gpu, out)).buffer);
}

/** The batches' rows after the layer, its experts and the batches being one rank's each. */
async function divided(rig: Rig, layer: Layer, batches: readonly Batch[], runs: readonly { first: number; count: number }[], exchange: Exchange): Promise<Float32Array[]> {
  const { world, unitsPerToken, wire } = exchange;
  const hidden = layer.layout.hiddenSize;
  const packet = packetBytes(hidden, wire, layer.topK / unitsPerToken);
  const sent: Outgoing[] = [];
  for (const [rank, batch] of batches.entries()) sent.push(await dispatch(rig, layer, batch, rank, exchange));
  const returned = sent.map(({ starts }) => new Uint8Array(starts[world]! * rowBytes(hidden, wire)));
  for (const [rank, run] of runs.entries()) {
    const received = Buffer.concat(sent.map(({ packets, starts, counts }) => packets.subarray(starts[rank]! * packet, (starts[rank]! + counts[rank]!) * packet)));
    let done = 0;
    const sums = await answer(rig, layer, run, received, exchange);
    sent.forEach(({ starts, counts }, source) => {
      const bytes = counts[rank]! * rowBytes(hidden, wire);
      returned[source]!.set(sums.subarray(done, done + bytes), starts[rank]! * rowBytes(hidden, wire));
      done += bytes;
    });
  }
  const results: Float32Array[] = [];
  for (const [rank, { tokens, x }] of batches.entries()) {
    const out = f32Buffer(rig.gpu, x.values);
    reduceRows(rig.gpu, rig.recorder, { rows: tokens, terms: unitsPerToken * world, hidden, stride: hidden, wire, from: bytesBuffer(rig.gpu, returned[rank]!), rowOf: sent[rank]!.rowOf, x: out });
    rig.recorder.submit();
    results.push(asFloats(await readWords(rig.gpu, out)));
  }
  return results;
}

/**
 * A row is rounded twice, there and back, each element by at most 2^-11 (f16) or 2^-8 (bf16); dot products and sums of choices that nearly cancel
 * make more of it, eight times at most for the few rows here. One wrong row among 40 would show as 0.1.
 */
const TOLERANCE = { f32: 1e-6, f16: 2 ** -8, bf16: 2 ** -5 } satisfies Record<WireDtype, number>;

describe.each(adapters)('an MoE layer divided over ranks on $name', (adapter) => {
  const rig = useDevice(adapter);
  const cases = WIRE_DTYPES.flatMap((wire) => [[wire, 'rank', 'default', 'f32'], [wire, 'expert', 'default', 'f32']] as const);
  const others = adapter.operands.map((type) => ['f32', 'rank', 'tiled', type] as const);

  it.each([...cases, ...others])('with rows of %s sent once per %s, %s products of %s operands, equals the undivided one', async (wire, dispatchPer, products, type) => {
    const random = testRandom();
    const shape: MatmulShape = products === 'tiled' ? { kind: 'tiled' } : defaultPlan(rig.gpu).grouped;
    const topK = 3;
    const layer = randomLayer(random, random.integer(5, 12), topK, shape, type);
    for (const world of [1, 2, 3, 4]) {
      const runs = unevenRuns(random, layer.experts, world);
      const owners = runs.flatMap(({ count }, rank) => Array.from({ length: count }, () => rank));
      const batches = runs.map(() => randomBatch(random, layer, random.integer(1, 40)));
      const results = await divided(rig, layer, batches, runs, { world, unitsPerToken: dispatchPer === 'rank' ? 1 : topK, wire, owners });
      for (const [rank, batch] of batches.entries()) {
        const expected = await undivided(rig, layer, batch);
        const added = (values: Float32Array) => values.map((v, i) => v - batch.x.values[i]!);
        const error = wire === 'f32' ? relativeL2(results[rank]!, expected) : relativeL2(added(results[rank]!), added(expected));
        expect(error, `rank ${rank} of ${world}`).toBeLessThanOrEqual(TOLERANCE[wire]);
        expect(relativeL2(batch.x.values, expected)).toBeGreaterThan(0.1);
      }
    }
  });
});
