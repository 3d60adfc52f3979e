import { describe, expect, it } from 'vitest';
import { expertLayout, packExpert, type ExpertLayout } from '../../src/engine/expert-layout.ts';
import { combine, expertSort, maxExpertTiles, routerTopK } from '../../src/runtime/kernels/experts.ts';
import { type ExpertBank, groupedMatmul, groupedSwiglu } from '../../src/runtime/kernels/matmul.ts';
import { type PackedDtype, packedBytes, padTo } from '../../src/runtime/layout.ts';
import { type MatmulShape, type OperandDtype, tileRows } from '../../src/runtime/plan.ts';
import * as oracle from '../../src/runtime/reference/experts.ts';
import { matrixOf, type Matrix } from '../../src/runtime/reference/tensor.ts';
import { adapters, useDevice } from './adapters.ts';
import { asFloats, bytesBuffer, columnsOf, expectClose, expectPoison, f32Buffer, operandBuffer, poisoned, rawMatrix, readWords, u32Buffer, unpacked } from './buffers.ts';
import { type Random, randomMatrix, randomVector, rounded, testRandom } from './random.ts';

describe.each(adapters)('routing on $name', (adapter) => {
  const rig = useDevice(adapter);

  it.each([[true], [false]])('router (renormalised: %s) chooses the most probable experts and their weights', async (renormalise) => {
    const random = testRandom();
    const { gpu, recorder } = rig;
    for (const [tokens, experts, topK] of [[1, 1, 1], [1, 8, 8], [70, 16, 2], [random.integer(2, 200), random.integer(8, 130), 8]] as const) {
      const logits = randomMatrix(random, tokens, experts, 'f32', 3);
      const { ids, weights } = await route(logits, topK, renormalise);
      const expected = oracle.routerTopK(logits, topK, renormalise);
      expect([...ids.subarray(0, tokens * topK)]).toEqual(expected.ids);
      expectClose(asFloats(weights).subarray(0, tokens * topK), expected.weights);
      expectPoison(weights, tokens * topK, weights.length);
      expectPoison(ids, tokens * topK, ids.length);
    }
    async function route(logits: Matrix, topK: number, renormalise: boolean) {
      const size = (logits.rows * topK + 5) * 4;
      const [ids, weights] = [poisoned(gpu, size), poisoned(gpu, size)];
      routerTopK(gpu, recorder, { tokens: logits.rows, experts: logits.columns, topK, renormalise, logits: f32Buffer(gpu, logits.values), ids, weights });
      recorder.submit();
      return { ids: await readWords(gpu, ids), weights: await readWords(gpu, weights) };
    }
  });

  it('router gives equal experts to the lower index first, and survives logits far apart', async () => {
    const { gpu, recorder } = rig;
    const logits = matrixOf(3, 5, (t, e) => [[1, 2, 2, 1, 2], [0, 0, 0, 0, 0], [-1e4, 300, -1e30, 300, 1e4]][t]![e]!);
    const [ids, weights] = [poisoned(gpu, 36), poisoned(gpu, 36)];
    routerTopK(gpu, recorder, { tokens: 3, experts: 5, topK: 3, renormalise: true, logits: f32Buffer(gpu, logits.values), ids, weights });
    recorder.submit();
    expect([...(await readWords(gpu, ids))]).toEqual([1, 2, 4, 0, 1, 2, 4, 1, 3]);
    expectClose(asFloats(await readWords(gpu, weights)), oracle.routerTopK(logits, 3, true).weights);
  });

  /** ids [tokens, topK] of several kinds of traffic. */
  const traffics = (random: Random): { readonly title: string; readonly ids: number[]; readonly topK: number; readonly experts: number }[] => {
    const experts = random.integer(5, 140);
    const distinct = (topK: number, tokens: number, most: number) =>
      Array.from({ length: tokens }, () => random.shuffled(Array.from({ length: most }, (_, e) => e)).slice(0, topK)).flat();
    return [
      { title: 'one token, one expert', ids: [experts - 1], topK: 1, experts },
      { title: 'one token', ids: distinct(4, 1, experts), topK: 4, experts },
      { title: 'all on one expert', ids: Array.from({ length: 100 }, () => 2), topK: 1, experts },
      { title: 'many empty experts', ids: distinct(2, 90, 3), topK: 2, experts },
      { title: 'spread', ids: distinct(4, random.integer(2, 300), experts), topK: 4, experts },
    ];
  };

  it('expert sort gives every pair a row among its expert\'s, and tiles that cover the rows', async () => {
    const random = testRandom();
    const { gpu, recorder } = rig;
    for (const { title, ids, topK, experts } of traffics(random)) {
      for (const tile of [4, 16, 64]) {
        const most = maxExpertTiles(ids.length, experts, tile);
        const words = (n: number) => poisoned(gpu, n * 4);
        const buffers = {
          counts: words(experts), ranks: words(ids.length), offsets: words(experts + 1), tileBase: words(experts + 1),
          tiles: words(4 * most), rowToken: words(ids.length + 3), pairRow: words(ids.length + 3),
        };
        expertSort(gpu, recorder, { tokens: ids.length / topK, experts, topK, tileRows: tile, ids: u32Buffer(gpu, ids), ...buffers });
        recorder.submit();
        const [offsets, tileBase, tiles, rowToken, pairRow] = await Promise.all(
          [buffers.offsets, buffers.tileBase, buffers.tiles, buffers.rowToken, buffers.pairRow].map((buffer) => readWords(gpu, buffer)));
        const sorted = { offsets: offsets!, tileBase: tileBase!, tiles: tiles!, rowToken: rowToken!, pairRow: pairRow! };
        expect(oracle.sortProblems(ids, topK, experts, tile, sorted), `${title}, tiles of ${tile}`).toEqual([]);
        expect(tileBase![experts]).toBeLessThanOrEqual(most);
        expectPoison(rowToken!, ids.length, rowToken!.length);
        expectPoison(pairRow!, ids.length, pairRow!.length);
        expectPoison(tiles!, 4 * tileBase![experts]!, tiles!.length);
      }
    }
  });

  it('combine adds the weighted rows of each token to the residual', async () => {
    const random = testRandom();
    const { gpu, recorder } = rig;
    for (const [tokens, stride, topK] of [[1, 8, 1], [random.integer(2, 40), 8 * random.integer(1, 70), random.integer(2, 8)]] as const) {
      const x = randomMatrix(random, tokens, stride, 'f32');
      const y = randomMatrix(random, tokens * topK, stride, 'f32');
      const pairRow = random.shuffled(Array.from({ length: tokens * topK }, (_, i) => i));
      const weights = randomVector(random, tokens * topK);
      const out = f32Buffer(gpu, [...x.values, ...Array.from({ length: stride }, () => 7)]);
      combine(gpu, recorder, { tokens, stride, topK, y: f32Buffer(gpu, y.values), pairRow: u32Buffer(gpu, pairRow), weights: f32Buffer(gpu, weights), x: out });
      recorder.submit();
      const values = asFloats(await readWords(gpu, out));
      expectClose(values.subarray(0, tokens * stride), oracle.combine(x, y, pairRow, weights, topK).values);
      expect([...values.subarray(tokens * stride)].every((v) => v === 7)).toBe(true);
    }
  });
});

interface Variant {
  readonly shape: MatmulShape;
  readonly aType: OperandDtype;
  readonly bType: PackedDtype;
}

const variantsOf = (L: number, operands: readonly OperandDtype[]): Variant[] => {
  const all: Variant[] = [
    { shape: { kind: 'broadcast', L, R: 16, C: 4 }, aType: 'f32', bType: 'f32' },
    { shape: { kind: 'broadcast', L, R: 8, C: 2 }, aType: 'f32', bType: 'bf16' },
    { shape: { kind: 'broadcast', L, R: 32, C: 2 }, aType: 'f16', bType: 'f16' },
    { shape: { kind: 'tiled' }, aType: 'f32', bType: 'f16' },
    { shape: { kind: 'tiled' }, aType: 'f16', bType: 'bf16' },
  ];
  return all.filter(({ aType }) => operands.includes(aType));
};

const title = ({ shape, aType, bType }: Variant): string =>
  `${shape.kind === 'tiled' ? 'tiled' : `${shape.R} rows x ${shape.C} groups`}, ${aType} x ${bType}`;

/** A layer of random experts, packed as a slot holds them, in banks of `perBank`. */
interface Layer {
  readonly layout: ExpertLayout;
  readonly experts: readonly oracle.Expert[];
  readonly bytes: Uint8Array;
}

function randomLayer(random: Random, experts: number, hiddenSize: number, moeIntermediateSize: number, dtype: PackedDtype): Layer {
  const layout = expertLayout({ hiddenSize, moeIntermediateSize }, dtype);
  const made = Array.from({ length: experts }, (): oracle.Expert => ({
    gate: randomMatrix(random, moeIntermediateSize, hiddenSize, dtype, 1 / Math.sqrt(hiddenSize)),
    up: randomMatrix(random, moeIntermediateSize, hiddenSize, dtype, 1 / Math.sqrt(hiddenSize)),
    down: randomMatrix(random, hiddenSize, moeIntermediateSize, dtype, 1 / Math.sqrt(moeIntermediateSize)),
  }));
  const bytes = new Uint8Array(experts * layout.expertBytes);
  made.forEach(({ gate, up, down }, e) =>
    packExpert({ gate: rawMatrix(gate), up: rawMatrix(up), down: rawMatrix(down) }, layout, bytes.subarray(e * layout.expertBytes, (e + 1) * layout.expertBytes)));
  return { layout, experts: made, bytes };
}

/** Sorted rows as the host wants them: runs of (expert, tokens), each run cut into tiles of the given sizes. */
interface Rows {
  readonly expertOf: number[];
  readonly tokenOf: number[];
  readonly tiles: number[][];
  readonly tileBase: number[];
}

function sortedRows(tokensOfExpert: readonly (readonly number[])[], tileSizes: () => number): Rows {
  const rows: Rows = { expertOf: [], tokenOf: [], tiles: [], tileBase: [] };
  tokensOfExpert.forEach((tokens, expert) => {
    rows.tileBase.push(rows.tiles.length);
    for (let done = 0; done < tokens.length;) {
      const size = Math.min(tileSizes(), tokens.length - done);
      rows.tiles.push([expert, rows.tokenOf.length, size, 0]);
      rows.tokenOf.push(...tokens.slice(done, done + size));
      rows.expertOf.push(...Array.from({ length: size }, () => expert));
      done += size;
    }
  });
  rows.tileBase.push(rows.tiles.length);
  return rows;
}

describe.each(adapters)('grouped products on $name', (adapter) => {
  const rig = useDevice(adapter);
  const variants = variantsOf(adapter.L, adapter.operands);

  const banksOf = ({ layout: { expertBytes }, experts, bytes }: Layer, perBank: number): ExpertBank[] =>
    Array.from({ length: Math.ceil(experts.length / perBank) }, (_, b) => {
      const count = Math.min(perBank, experts.length - b * perBank);
      const buffer = bytesBuffer(rig.gpu, bytes.subarray(b * perBank * expertBytes, (b * perBank + count) * expertBytes));
      return { buffer, firstExpert: b * perBank, experts: count, expertBytes };
    });

  const sortedOn = ({ tiles, tileBase }: Rows) =>
    ({ tiles: u32Buffer(rig.gpu, tiles.flat()), tileBase: u32Buffer(rig.gpu, tileBase), maxTiles: tiles.length + 2 });

  async function swiglu({ shape, aType, bType }: Variant, layer: Layer, x: Matrix, rows: Rows, perBank: number): Promise<Uint32Array> {
    const { gpu, recorder } = rig;
    const { upRow } = layer.layout;
    const out = poisoned(gpu, packedBytes(rows.tokenOf.length + 8, upRow, aType), aType);
    groupedSwiglu(gpu, recorder, {
      shape, aType, bType, a: operandBuffer(gpu, x, aType), banks: banksOf(layer, perBank), sorted: sortedOn(rows), k: x.columns, columns: upRow, matrixOffset: 0, upRow,
      out, rowToken: u32Buffer(gpu, rows.tokenOf),
    });
    recorder.submit();
    return readWords(gpu, out);
  }

  async function down({ shape, aType, bType }: Variant, layer: Layer, act: Matrix, rows: Rows, perBank: number): Promise<Uint32Array> {
    const { gpu, recorder } = rig;
    const columns = padTo(layer.layout.hiddenSize, 8);
    const out = poisoned(gpu, (rows.tokenOf.length + 3) * columns * 4);
    groupedMatmul(gpu, recorder, {
      shape, aType, bType, a: operandBuffer(gpu, act, aType), banks: banksOf(layer, perBank), sorted: sortedOn(rows), k: act.columns, columns,
      matrixOffset: layer.layout.downOffset, out,
    });
    recorder.submit();
    return readWords(gpu, out);
  }

  it.each(variants.map((variant) => [title(variant), variant] as const))('%s: SwiGLU and down agree with the oracle for every traffic', async (_, variant) => {
    const random = testRandom();
    const full = tileRows(variant.shape);
    const tokens = random.integer(2 * full, 2 * full + 9);
    const all = Array.from({ length: tokens }, (_, t) => t);
    const traffics: number[][][] = [
      [[], [], [random.integer(0, tokens - 1)], []],
      [[], random.shuffled(all), [], [], []],
      Array.from({ length: 7 }, (_, e) => (e % 3 === 1 ? [] : random.shuffled(all).slice(0, random.integer(1, full + 3)))),
    ];
    const [hidden, width] = [random.integer(9, 60), random.integer(5, 50)];
    for (const [n, tokensOfExpert] of traffics.entries()) {
      const layer = randomLayer(random, tokensOfExpert.length, hidden, width, variant.bType);
      const rows = sortedRows(tokensOfExpert, () => full);
      const perBank = [1, tokensOfExpert.length, 3][n]!;
      const count = rows.tokenOf.length;
      const x = randomMatrix(random, tokens, hidden, variant.aType);
      const packed = await swiglu(variant, layer, x, rows, perBank);
      expectClose(unpacked(packed, count, width, variant.aType), oracle.groupedSwiglu(x, layer.experts, rows.expertOf, rows.tokenOf).values, variant.aType);
      const padding = unpacked(packed, count, layer.layout.upRow, variant.aType).filter((_, i) => i % layer.layout.upRow >= width);
      expect(padding.every((v) => v === 0)).toBe(true);
      expectPoison(packed, packedBytes(count, width, variant.aType) / 4, packed.length, variant.aType);

      const act = randomMatrix(random, count, width, variant.aType);
      const y = await down(variant, layer, act, rows, perBank);
      const stride = padTo(hidden, 8);
      expectClose(columnsOf(asFloats(y), count, hidden, stride), oracle.groupedDown(act, layer.experts, rows.expertOf).values);
      expectPoison(y, count * stride, y.length);
    }
  });

  it.each(variants.map((variant) => [title(variant), variant] as const))('%s: a row has the same bits in a short tile, in a long one, and anywhere in it', async (_, variant) => {
    const random = testRandom();
    const full = tileRows(variant.shape);
    const tokens = full + 5;
    const [hidden, width] = [random.integer(20, 60), random.integer(10, 30)];
    const layer = randomLayer(random, 2, hidden, width, variant.bType);
    const x = randomMatrix(random, tokens, hidden, variant.aType);
    const all = Array.from({ length: tokens }, (_, t) => t);
    const actOf = randomMatrix(random, tokens, width, variant.aType);
    const seen = new Map<string, string>();
    const tilings = [() => 1, () => full, () => random.integer(1, full), () => Math.min(full, adapter.L + 1)];
    for (const tileSizes of tilings) {
      const rows = sortedRows([random.shuffled(all), random.shuffled(all)], tileSizes);
      const act = unpacked(await swiglu(variant, layer, x, rows, 2), rows.tokenOf.length, width, variant.aType);
      const fixed = matrixOf(rows.tokenOf.length, width, (r, c) => rounded(actOf.values[rows.tokenOf[r]! * width + c]!, variant.aType));
      const y = asFloats(await down(variant, layer, fixed, rows, 2));
      rows.tokenOf.forEach((token, r) => {
        const key = `${rows.expertOf[r]} ${token}`;
        const stride = padTo(hidden, 8);
        const bits = JSON.stringify([[...act.subarray(r * width, (r + 1) * width)], [...y.subarray(r * stride, (r + 1) * stride)]]);
        if (!seen.has(key)) seen.set(key, bits);
        expect(bits).toBe(seen.get(key));
      });
    }
  });
});
