import { describe, expect, it } from 'vitest';
import {
  decodeRows, dispatchPlan, encodeRows, NO_ROW, packetBytes, packRows, reduceRows, rowBytes, unpackRows, WIRE_DTYPES, type WireDtype,
} from '../../src/runtime/kernels/exchange.ts';
import { combine } from '../../src/runtime/kernels/experts.ts';
import { packedBytes, padTo } from '../../src/runtime/layout.ts';
import * as oracle from '../../src/runtime/reference/exchange.ts';
import { matrixOf, type Matrix } from '../../src/runtime/reference/tensor.ts';
import { adapters, useDevice } from './adapters.ts';
import { asFloats, bytesBuffer, expectPoison, f32Buffer, operandBuffer, poisoned, readWords, relativeL2, u32Buffer, unpacked } from './buffers.ts';
import { type Random, randomMatrix, rounded, testRandom } from './random.ts';

const wordsOf = (bytes: Uint8Array): number[] => [...new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)];

/** Row-major with every row padded with zeros to `stride`. */
const padded = (m: Matrix, stride: number): Float64Array =>
  matrixOf(m.rows, stride, (r, c) => (c < m.columns ? m.values[r * m.columns + c]! : 0)).values;

/** `tokens` x `topK` ids, distinct in a token, and weights. */
function randomRouting(random: Random, tokens: number, experts: number, topK: number) {
  const all = Array.from({ length: experts }, (_, e) => e);
  const ids = Array.from({ length: tokens }, () => random.shuffled(all).slice(0, topK)).flat();
  return { ids, weights: ids.map(() => rounded(random.uniform() + 0.1, 'f32')) };
}

/** What unit u of `choices` choices chose. */
const chosenBy = ({ ids, weights }: { ids: readonly number[]; weights: readonly number[] }, choices: number, unit: number): oracle.Chosen =>
  ({ ids: ids.slice(unit * choices, (unit + 1) * choices), weights: weights.slice(unit * choices, (unit + 1) * choices) });

describe('packets', () => {
  it('are a row padded to whole words, then ids, then weights', () => {
    expect(WIRE_DTYPES.map((wire) => rowBytes(7, wire))).toEqual([28, 16, 16]);
    expect(WIRE_DTYPES.map((wire) => packetBytes(7, wire, 3))).toEqual([52, 40, 40]);
    expect(packetBytes(2048, 'bf16', 8)).toBe(2 * 2048 + 4 * 8 + 4 * 8);
  });
});

describe.each(adapters)('exchanged rows on $name', (adapter) => {
  const rig = useDevice(adapter);

  it('the plan gives a unit one row for each rank that has one of its experts, by rank from the next one on, then by unit', async () => {
    const random = testRandom();
    const { gpu, recorder } = rig;
    for (const [units, choices, world] of [[1, 1, 1], [5, 2, 2], [random.integer(250, 800), 4, 4], [random.integer(2, 300), 1, 3], [1023, 8, 8]] as const) {
      const experts = random.integer(Math.max(choices, world), 40);
      // Uneven, and a rank may have none.
      const owners = Array.from({ length: experts }, () => random.integer(0, random.integer(0, world - 1)));
      const ownRank = random.integer(0, world - 1);
      const { ids } = randomRouting(random, units, experts, choices);
      const most = units * Math.min(world, choices);
      const buffers = { counts: poisoned(gpu, 4 * (world + 2)), starts: poisoned(gpu, 4 * (world + 3)), rowOf: poisoned(gpu, 4 * (units * world + 2)), unitOf: poisoned(gpu, 4 * (most + 2)) };
      dispatchPlan(gpu, recorder, { units, choices, world, ownRank, ids: u32Buffer(gpu, ids), owners: u32Buffer(gpu, owners), ...buffers });
      recorder.submit();
      const expected = oracle.dispatchPlan(ids, choices, owners, world, ownRank);
      for (const name of ['counts', 'starts', 'rowOf', 'unitOf'] as const) {
        const words = await readWords(gpu, buffers[name]);
        expect([...words.subarray(0, expected[name].length)], `${name}, ${units} units on ${world} ranks`).toEqual(expected[name]);
        expectPoison(words, expected[name].length, words.length);
      }
      expect(expected.starts[ownRank]).toBe(expected.unitOf.length - expected.counts[ownRank]!);
    }
  });

  it('the plan refuses more than 8 ranks', () => {
    const buffer = poisoned(rig.gpu, 4);
    expect(() => dispatchPlan(rig.gpu, rig.recorder, {
      units: 1, choices: 1, world: 9, ownRank: 0, ids: buffer, owners: buffer, counts: buffer, starts: buffer, rowOf: buffer, unitOf: buffer,
    })).toThrow('dispatchPlan takes at most 8 ranks, got 9');
  });

  const wires = WIRE_DTYPES.flatMap((wire) => adapter.operands.map((type) => [wire, type] as const));

  it.each(wires)('packs listed units to %s from %s operands, no further than the count on the device', async (wire, sourceType) => {
    const random = testRandom();
    const { gpu, recorder } = rig;
    for (const [tokens, hidden, topK, unitsPerToken] of [[1, 1, 1, 1], [random.integer(2, 30), random.integer(9, 90), 4, 1], [9, 24, 6, 6], [11, 13, 6, 3]] as const) {
      const choices = topK / unitsPerToken;
      const source = randomMatrix(random, tokens, hidden, sourceType);
      const routing = randomRouting(random, tokens, 17, topK);
      const unitOf = random.shuffled(Array.from({ length: tokens * unitsPerToken }, (_, u) => u)).flatMap((u) => [u, u]);
      const total = random.integer(0, unitOf.length);
      const words = packetBytes(hidden, wire, choices) / 4;
      const out = poisoned(gpu, unitOf.length * words * 4);
      packRows(gpu, recorder, {
        maxRows: unitOf.length, unitOf: u32Buffer(gpu, unitOf), total: u32Buffer(gpu, [1000, 1000, total]), totalIndex: 2, unitsPerToken, choices, hidden, wire,
        source: operandBuffer(gpu, source, sourceType), sourceType, ids: u32Buffer(gpu, routing.ids), weights: f32Buffer(gpu, routing.weights), out,
      });
      recorder.submit();
      const units = unitOf.slice(0, total);
      const rows = matrixOf(total, hidden, (r, c) => source.values[Math.floor(units[r]! / unitsPerToken) * hidden + c]!);
      const packed = await readWords(gpu, out);
      expect([...packed.subarray(0, total * words)]).toEqual(wordsOf(oracle.encode(rows, wire, units.map((u) => chosenBy(routing, choices, u)))));
      expectPoison(packed, total * words, packed.length);
    }
  });

  it.each(wires)('packs all units in order, without ids, to %s from %s operands', async (wire, sourceType) => {
    const random = testRandom();
    const { gpu, recorder } = rig;
    const [rows, hidden] = [random.integer(2, 30), random.integer(9, 90)];
    const source = randomMatrix(random, rows, hidden, sourceType);
    const words = rowBytes(hidden, wire) / 4;
    const out = poisoned(gpu, (rows * words + 9) * 4);
    packRows(gpu, recorder, { maxRows: rows, unitsPerToken: 1, choices: 0, hidden, wire, source: operandBuffer(gpu, source, sourceType), sourceType, out });
    recorder.submit();
    const packed = await readWords(gpu, out);
    expect([...packed.subarray(0, rows * words)]).toEqual(wordsOf(oracle.encode(source, wire)));
    expectPoison(packed, rows * words, packed.length);
  });

  it.each(wires)('unpacks packets of %s into %s operands, and makes ids local', async (wire, outType) => {
    const random = testRandom();
    const { gpu, recorder } = rig;
    for (const [packets, hidden, choices, listed] of [[1, 1, 1, false], [random.integer(2, 30), random.integer(9, 90), 4, true], [10, 24, 0, true], [9, 13, 3, false]] as const) {
      const values = randomMatrix(random, packets, hidden, wire);
      const routing = randomRouting(random, packets, 17, choices);
      const bytes = oracle.encode(values, wire, choices > 0 ? Array.from({ length: packets }, (_, r) => chosenBy(routing, choices, r)) : undefined);
      const list = listed ? Array.from({ length: packets + 3 }, () => random.integer(0, packets - 1)) : Array.from({ length: packets }, (_, r) => r);
      const [firstExpert, experts] = [5, 6];
      const out = poisoned(gpu, packedBytes(list.length + 8, hidden, outType), outType);
      const [ids, weights] = [poisoned(gpu, (list.length * choices + 2) * 4), poisoned(gpu, (list.length * choices + 2) * 4)];
      unpackRows(gpu, recorder, {
        rows: list.length, hidden, wire, choices, packets: bytesBuffer(gpu, bytes), out, outType, firstExpert, experts,
        ...(listed ? { list: u32Buffer(gpu, list) } : {}), ...(choices > 0 ? { ids, weights } : {}),
      });
      recorder.submit();
      const words = await readWords(gpu, out);
      const decoded = oracle.decode(bytes, hidden, wire, choices).values;
      const expected = list.flatMap((r) => Array.from({ length: padTo(hidden, 8) }, (_, c) => (c < hidden ? rounded(decoded[r * hidden + c]!, outType) : 0)));
      expect([...unpacked(words, list.length, padTo(hidden, 8), outType)]).toEqual(expected);
      expectPoison(words, packedBytes(list.length, hidden, outType) / 4, words.length, outType);
      const local = list.map((r) => oracle.localised(chosenBy(routing, choices, r), firstExpert, experts));
      const [localIds, localWeights] = [await readWords(gpu, ids), await readWords(gpu, weights)];
      expect([...localIds.subarray(0, list.length * choices)]).toEqual(local.flatMap((chosen) => chosen.ids));
      expect([...asFloats(localWeights).subarray(0, list.length * choices)]).toEqual(local.flatMap((chosen) => chosen.weights));
      expectPoison(localIds, list.length * choices, localIds.length);
      expectPoison(localWeights, list.length * choices, localWeights.length);
    }
  });

  it.each(WIRE_DTYPES)('rows go to %s and back as the oracle has them, ties to even and f16 saturated', async (wire) => {
    const random = testRandom();
    const { gpu, recorder } = rig;
    for (const [rows, hidden, stride] of [[1, 1, 4], [3, 18, 20], [random.integer(2, 30), random.integer(9, 80), 96], [300, 128, 128]] as const) {
      const x = matrixOf(rows, hidden, () => hardToRound(random, wire));
      const words = rowBytes(hidden, wire) / 4;
      const [out, back] = [poisoned(gpu, (rows * words + 3) * 4), poisoned(gpu, (rows * stride + 3) * 4)];
      encodeRows(gpu, recorder, { rows, hidden, stride, wire, from: f32Buffer(gpu, padded(x, stride).map((v, i) => (i % stride < hidden ? v : 77))), out });
      decodeRows(gpu, recorder, { rows, hidden, stride, wire, from: out, out: back });
      recorder.submit();
      const encoded = await readWords(gpu, out);
      const expected = oracle.encode(x, wire);
      expect([...encoded.subarray(0, rows * words)].map(hex)).toEqual(wordsOf(expected).map(hex));
      expectPoison(encoded, rows * words, encoded.length);
      const decoded = await readWords(gpu, back);
      expect([...asFloats(decoded).subarray(0, rows * stride)]).toEqual([...padded(oracle.decode(expected, hidden, wire), stride)]);
      expectPoison(decoded, rows * stride, decoded.length);
    }
  });

  it('f16 subnormals are off by one unit at most: devices may flush them', async () => {
    const random = testRandom();
    const { gpu, recorder } = rig;
    const x = Array.from({ length: 400 }, () => rounded((random.uniform() * 2 - 1) * F16_SMALLEST_NORMAL * 2 ** -random.integer(0, 12), 'f32'));
    const [out, back] = [poisoned(gpu, 800), poisoned(gpu, 1600)];
    const shared = { rows: 1, hidden: 400, stride: 400, wire: 'f16' } as const;
    encodeRows(gpu, recorder, { ...shared, from: f32Buffer(gpu, x), out });
    decodeRows(gpu, recorder, { ...shared, from: out, out: back });
    recorder.submit();
    const error = asFloats(await readWords(gpu, back)).map((v, i) => Math.abs(v - x[i]!));
    expect(Math.max(...error)).toBeLessThanOrEqual(2 ** -24);
  });

  it('NaN travels as NaN and infinity in bf16 as infinity', async () => {
    const { gpu, recorder } = rig;
    const out = poisoned(gpu, 8);
    encodeRows(gpu, recorder, { rows: 1, hidden: 4, stride: 4, wire: 'bf16', from: u32Buffer(gpu, [0x7f800001, 0xffffffff, 0x7f800000, 0xff800000]), out });
    recorder.submit();
    expect([...await readWords(gpu, out)].map(hex)).toEqual([0xffff7fc0, 0xff807f80].map(hex));
  });

  it.each(WIRE_DTYPES)('sums rows of %s onto the residual in the order of the terms', async (wire) => {
    const random = testRandom();
    const { gpu, recorder } = rig;
    for (const [rows, hidden, terms] of [[1, 1, 1], [random.integer(2, 30), random.integer(9, 90), 4], [70, 64, 8]] as const) {
      const stride = padTo(hidden, 8);
      const x = randomMatrix(random, rows, hidden, 'f32');
      const termStride = rows + 2;
      const partial = randomMatrix(random, terms * termStride, hidden, wire);
      const shuffled = random.shuffled(Array.from({ length: terms * termStride }, (_, r) => r));
      const rowOf = shuffled.slice(0, rows * terms).map((r) => (random.uniform() < 0.3 ? NO_ROW : r));
      const inOrder = Array.from({ length: rows * terms }, (_, i) => (i % terms) * termStride + Math.floor(i / terms));
      const from = bytesBuffer(gpu, oracle.encode(partial, wire));
      const filled = (): GPUBuffer => f32Buffer(gpu, [...padded(x, stride), 7, 7, 7]);
      const [listed, plain] = [filled(), filled()];
      const shared = { rows, terms, hidden, stride, wire, from };
      reduceRows(gpu, recorder, { ...shared, rowOf: u32Buffer(gpu, rowOf), x: listed });
      reduceRows(gpu, recorder, { ...shared, termStride, x: plain });
      recorder.submit();
      for (const [buffer, order] of [[listed, rowOf], [plain, inOrder]] as const) {
        const values = asFloats(await readWords(gpu, buffer));
        expect([...values]).toEqual([...padded(sumInF32(x, partial, order, terms), stride), 7, 7, 7]);
        expect(relativeL2(values.subarray(0, rows * stride), padded(oracle.reduceRows(x, partial, order, terms), stride))).toBeLessThan(1e-6);
      }
    }
  });

  it('rows beyond one line of workgroups are reached', async () => {
    const { gpu, recorder } = rig;
    const rows = 2 * 32768 + 100;
    const from = new Float32Array(4 * rows);
    for (let r = 0; r < rows; r++) from[4 * r] = r & 127;
    const out = poisoned(gpu, rows * 4);
    encodeRows(gpu, recorder, { rows, hidden: 1, stride: 4, wire: 'bf16', from: bytesBuffer(gpu, new Uint8Array(from.buffer)), out });
    recorder.submit();
    const cycle = wordsOf(oracle.encode(matrixOf(128, 1, (r) => r), 'bf16'));
    const wrong = (await readWords(gpu, out)).findIndex((word, r) => word !== cycle[r & 127]);
    expect(wrong).toBe(-1);
  });

  it('combine can assign, and never reads the row of a pair of weight zero', async () => {
    const random = testRandom();
    const { gpu, recorder } = rig;
    const [tokens, stride, topK] = [9, 24, 3];
    const y = randomMatrix(random, tokens * topK, stride, 'f32');
    const pairRow = random.shuffled(Array.from({ length: tokens * topK }, (_, i) => i));
    const weights = pairRow.map((_, pair) => (pair % 4 === 1 || pair < topK ? 0 : rounded(random.normal(), 'f32')));
    const unwritten = new Set(pairRow.filter((_, pair) => weights[pair] === 0));
    const holes = f32Buffer(gpu, y.values.map((v, i) => (unwritten.has(Math.floor(i / stride)) ? NaN : v)));
    const x = randomMatrix(random, tokens, stride, 'f32');
    const [added, assigned] = [f32Buffer(gpu, x.values), poisoned(gpu, tokens * stride * 4)];
    const shared = { tokens, stride, topK, y: holes, pairRow: u32Buffer(gpu, pairRow), weights: f32Buffer(gpu, weights) };
    combine(gpu, recorder, { ...shared, x: added });
    combine(gpu, recorder, { ...shared, x: assigned, assign: true });
    recorder.submit();
    const sums = matrixOf(tokens, stride, (t, c) => Array.from({ length: topK }, (_, j) => t * topK + j)
      .reduce((sum, pair) => sum + (weights[pair] === 0 ? 0 : weights[pair]! * y.values[pairRow[pair]! * stride + c]!), 0));
    expect(relativeL2(asFloats(await readWords(gpu, assigned)), sums.values)).toBeLessThan(1e-6);
    expect(relativeL2(asFloats(await readWords(gpu, added)), sums.values.map((v, i) => v + x.values[i]!))).toBeLessThan(1e-6);
  });
});

const hex = (word: number): string => word.toString(16).padStart(8, '0');

const F16_SMALLEST_NORMAL = 2 ** -14;

/** A number of any size, now and then one half way between two 16-bit neighbours, zero, or beyond f16; no f16 subnormal. */
function hardToRound(random: Random, wire: WireDtype): number {
  const value = random.normal() * 2 ** random.integer(-30, 20);
  const hard = [
    rounded(value, 'bf16') * (1 + 2 ** -8), rounded(random.normal(), 'f16') * (1 + 2 ** -11), random.shuffled([0, -0, 65504, 65519, 65520, -1e30, 3.3895e38])[0]!,
    ...Array.from({ length: 3 }, () => rounded(value, 'f32')),
  ][random.integer(0, 5)]!;
  return wire === 'f16' && hard !== 0 && Math.abs(hard) < F16_SMALLEST_NORMAL ? rounded(1 + value, 'f32') : hard;
}

/** What the reduction has to be to the last bit: terms added in f32 in their order, then the sum to x. */
const sumInF32 = (x: Matrix, from: Matrix, rowOf: readonly number[], terms: number): Matrix =>
  matrixOf(x.rows, x.columns, (t, c) => {
    const sum = rowOf.slice(t * terms, (t + 1) * terms).reduce((s, r) => (r === NO_ROW ? s : Math.fround(s + from.values[r * from.columns + c]!)), 0);
    return Math.fround(x.values[t * x.columns + c]! + sum);
  });
