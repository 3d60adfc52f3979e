import { describe, expect, it } from 'vitest';
import { attention, BLOCK_TOKENS, kvBytes, ropeKv, type RopeKv } from '../../src/runtime/kernels/attention.ts';
import { packedBytes } from '../../src/runtime/layout.ts';
import { attentionRows, type AttentionShape, type OperandDtype } from '../../src/runtime/plan.ts';
import { type AttentionInput, causalAttention, normAndRotate, type Sequence } from '../../src/runtime/reference/attention.ts';
import { matrixOf } from '../../src/runtime/reference/tensor.ts';
import { adapters, useDevice } from './adapters.ts';
import { bytesBuffer, expectClose, expectPoison, f32Buffer, packedOf, poisoned, readWords, u32Buffer, unpacked } from './buffers.ts';
import { type Random, randomVector, rounded, testRandom } from './random.ts';

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** Where element c of a token's head stands in the keys (or the values), counted in elements. */
function kvIndex(slot: number, head: number, c: number, kvHeads: number, headDim: number): number {
  const [block, offset] = [Math.floor(slot / BLOCK_TOKENS), slot % BLOCK_TOKENS];
  const panel = offset >> 3;
  return (block * kvHeads + head) * BLOCK_TOKENS * headDim + (panel * (headDim / 8) + (c >> 3)) * 64 + (offset & 7) * 8 + (c & 7);
}

/** [slot, kvHeads, headDim] -> the elements in the order of the blocks. */
function inBlocks(cache: Float64Array, kvHeads: number, headDim: number): Float64Array {
  const out = new Float64Array(cache.length);
  cache.forEach((value, i) => {
    const [slot, head, c] = [Math.floor(i / (kvHeads * headDim)), Math.floor(i / headDim) % kvHeads, i % headDim];
    out[kvIndex(slot, head, c, kvHeads, headDim)] = value;
  });
  return out;
}

/** Elements of a type, whose number is a multiple of 8, in the order given. */
const elementBytes = (values: Float64Array, type: OperandDtype): Uint8Array =>
  // Cells of a matrix 8 wide stand one after the other, so packing changes nothing but the type (rows to a multiple of 8).
  packedOf({ rows: values.length / 8, columns: 8, values }, type);

const elementsOf = (words: Uint32Array, count: number, type: OperandDtype): Float32Array => unpacked(words, count / 8, 8, type);

describe.each(adapters)('rotary embedding into KV blocks on $name', (adapter) => {
  const rig = useDevice(adapter);
  const cases = adapter.operands.flatMap((type) => [8, 24, 64, 128].map((headDim) => [headDim, type] as const));

  // The parts differ in what they leave out, which no head dimension changes: one is enough for all three.
  it.each(cases)('heads of %i in %s: q, k and v agree with the oracle, other slots are left alone', async (headDim, type) => {
    const random = testRandom();
    for (const parts of ['all', 'kv', 'q'] as const) {
      for (const tokens of [1, random.integer(2, 40)]) await check(random, { parts, tokens, headDim, type });
    }
  });

  async function check(random: Random, { parts, tokens, headDim, type }: Pick<RopeKv, 'parts' | 'tokens' | 'headDim' | 'type'>) {
    const { gpu, recorder } = rig;
    const kvHeads = random.integer(1, 3);
    const queryHeads = kvHeads * random.integer(1, 4);
    const firstToken = random.integer(0, 5);
    const [eps, half, maxPosition] = [1e-6, headDim / 2, 50];
    const angles = matrixOf(maxPosition, half, (p, i) => p / 10000 ** (i / half));
    const rope = matrixOf(maxPosition, headDim, (p, i) => Math.fround(i < half ? Math.cos(angles.values[p * half + i]!) : Math.sin(angles.values[p * half + i - half]!)));
    const norms = randomVector(random, 2 * headDim);
    const positions = range(firstToken + tokens).map(() => random.integer(0, maxPosition - 1));
    const blocks = Math.ceil((firstToken + tokens) / BLOCK_TOKENS) + 2;
    const slots = random.shuffled(range(blocks * BLOCK_TOKENS)).slice(0, firstToken + tokens);
    const columns = { all: queryHeads + 2 * kvHeads, kv: 2 * kvHeads, q: queryHeads }[parts];
    const qkv = randomVector(random, tokens * columns * headDim);

    const qElements = tokens * queryHeads * headDim;
    const q = poisoned(gpu, (qElements + 8) * (type === 'f32' ? 4 : 2), type);
    const keys = poisoned(gpu, kvBytes(blocks, kvHeads, headDim, type), type);
    const values = poisoned(gpu, kvBytes(blocks, kvHeads, headDim, type), type);
    ropeKv(gpu, recorder, {
      parts, tokens, firstToken, queryHeads, kvHeads, headDim, eps, type, qkv: f32Buffer(gpu, qkv), positions: u32Buffer(gpu, positions),
      rope: f32Buffer(gpu, rope.values), norms: f32Buffer(gpu, norms),
      ...(parts === 'kv' ? {} : { q }), ...(parts === 'q' ? {} : { kvSlots: u32Buffer(gpu, slots), kv: { keys, values } }),
    });
    recorder.submit();

    const head = (t: number, h: number) => qkv.subarray((t * columns + h) * headDim, (t * columns + h + 1) * headDim);
    const turned = (t: number, h: number, norm: Float64Array) => {
      const at = positions[firstToken + t]! * headDim;
      return normAndRotate(head(t, h), norm, eps, rope.values.subarray(at, at + half), rope.values.subarray(at + half, at + headDim));
    };
    if (parts !== 'kv') {
      const expected = range(tokens).flatMap((t) => range(queryHeads).flatMap((h) => [...turned(t, h, norms.subarray(0, headDim))].map((v) => v / Math.sqrt(headDim))));
      const words = await readWords(gpu, q);
      expectClose(elementsOf(words, qElements, type), expected, type);
      expectPoison(words, (qElements * (type === 'f32' ? 4 : 2)) / 4, words.length, type);
    }
    if (parts === 'q') return;
    const firstKey = parts === 'all' ? queryHeads : 0;
    const [gotKeys, gotValues] = [await readWords(gpu, keys), await readWords(gpu, values)];
    const written = new Set<number>();
    const places = range(tokens).flatMap((t) => range(kvHeads).flatMap((h) => range(headDim).map((c) => kvIndex(slots[firstToken + t]!, h, c, kvHeads, headDim))));
    places.forEach((place) => written.add(type === 'f32' ? place : place >> 1));
    const elements = blocks * kvHeads * BLOCK_TOKENS * headDim;
    const pick = (words: Uint32Array) => { const all = elementsOf(words, elements, type); return places.map((place) => all[place]!); };
    const each = (make: (t: number, h: number) => Float64Array) => range(tokens).flatMap((t) => range(kvHeads).flatMap((h) => [...make(t, h)]));
    expectClose(pick(gotKeys), each((t, h) => turned(t, firstKey + h, norms.subarray(headDim))), type);
    expect(pick(gotValues)).toEqual(each((t, h) => head(t, firstKey + kvHeads + h)).map((v) => rounded(v, type)));
    for (const words of [gotKeys, gotValues]) expectPoison(words.filter((_, i) => !written.has(i)), 0, Infinity, type);
  }
});

interface Variant {
  readonly shape: AttentionShape;
  readonly headDim: number;
  readonly type: OperandDtype;
}

const variantsOf = (L: number, operands: readonly OperandDtype[]): Variant[] => {
  const all: Variant[] = [
    { shape: { kind: 'broadcast', L, QB: 1, KT: 16 }, headDim: 8, type: 'f32' },
    { shape: { kind: 'broadcast', L, QB: 4, KT: 16 }, headDim: 24, type: 'f32' },
    { shape: { kind: 'broadcast', L, QB: 1, KT: 32 }, headDim: 64, type: 'f16' },
    { shape: { kind: 'broadcast', L, QB: 2, KT: 32 }, headDim: 24, type: 'f32' },
    { shape: { kind: 'broadcast', L, QB: 2, KT: 16 }, headDim: 128, type: 'f32' },
    { shape: { kind: 'tiled' }, headDim: 24, type: 'f32' },
    { shape: { kind: 'tiled' }, headDim: 128, type: 'f16' },
  ];
  return all.filter(({ type }) => operands.includes(type));
};

const title = ({ shape, headDim, type }: Variant): string =>
  `${shape.kind === 'tiled' ? 'tiled' : `${shape.QB} queries a lane x ${shape.KT} keys`}, heads of ${headDim} in ${type}`;

type Tile = [firstRow: number, rows: number, position: number, table: number];

describe.each(adapters)('causal attention on $name', (adapter) => {
  const rig = useDevice(adapter);
  const variants = variantsOf(adapter.L, adapter.operands).map((variant) => [title(variant), variant] as const);

  /** Sequences packed together, their blocks shuffled over the cache; other slots hold NaN, as a sequence gone wrong may have left them. */
  function randomInput(random: Random, { headDim, type }: Variant, lengths: readonly (readonly [prefix: number, rows: number])[]): AttentionInput {
    const kvHeads = random.integer(1, 2);
    const queryHeads = kvHeads * random.integer(1, 3);
    const needed = lengths.map(([prefix, rows]) => Math.ceil((prefix + rows) / BLOCK_TOKENS));
    const total = needed.reduce((a, b) => a + b, 0) + 3;
    const free = random.shuffled(range(total));
    let firstRow = 0;
    const sequences = lengths.map(([prefix, rows], i): Sequence => {
      const sequence = { firstRow, rows, prefix, blocks: free.splice(0, needed[i]) };
      firstRow += rows;
      return sequence;
    });
    const cache = () => {
      const values = randomVector(random, total * BLOCK_TOKENS * kvHeads * headDim, 1, type);
      const used = new Set(sequences.flatMap(({ prefix, rows, blocks }) => range(prefix + rows).map((t) => blocks[t >> 4]! * BLOCK_TOKENS + (t & 15))));
      return values.map((v, i) => (used.has(Math.floor(i / (kvHeads * headDim))) ? v : NaN));
    };
    const q = randomVector(random, firstRow * queryHeads * headDim, 3 / Math.sqrt(headDim), type);
    return { queryHeads, kvHeads, headDim, blockTokens: BLOCK_TOKENS, q, keys: cache(), values: cache(), sequences };
  }

  /** Cuts every sequence into tiles of `size()` rows; its blocks stand one after the other in the table. */
  function tilesOf(sequences: readonly Sequence[], size: () => number): { tiles: Tile[]; table: number[] } {
    const tiles: Tile[] = [];
    const table: number[] = [];
    for (const { firstRow, rows, prefix, blocks } of sequences) {
      for (let done = 0; done < rows;) {
        const count = Math.min(size(), rows - done);
        tiles.push([firstRow + done, count, prefix + done, table.length]);
        done += count;
      }
      table.push(...blocks);
    }
    return { tiles, table };
  }

  async function run({ shape, headDim, type }: Variant, input: AttentionInput, size: () => number): Promise<Uint32Array> {
    const { gpu, recorder } = rig;
    const { queryHeads, kvHeads, sequences } = input;
    const rows = sequences.reduce((sum, sequence) => sum + sequence.rows, 0);
    const { tiles, table } = tilesOf(sequences, size);
    const [keys, values] = [input.keys, input.values].map((cache) => bytesBuffer(gpu, elementBytes(inBlocks(cache, kvHeads, headDim), type)));
    const out = poisoned(gpu, packedBytes(rows + 8, queryHeads * headDim, type), type);
    attention(gpu, recorder, {
      shape, headDim, queryHeads, kvHeads, type, q: bytesBuffer(gpu, elementBytes(input.q, type)), kv: { keys: keys!, values: values! },
      tiles: u32Buffer(gpu, tiles.flat()), tileCount: tiles.length, blockTable: u32Buffer(gpu, table), out,
    });
    recorder.submit();
    return readWords(gpu, out);
  }

  it.each(variants)('%s: agrees with the oracle over packed sequences with cached prefixes', async (_, variant) => {
    const random = testRandom();
    const full = attentionRows(variant.shape);
    const batches: (readonly [number, number])[][] = [
      [[0, 1]],
      [[0, 16], [31, 1], [0, full + 1], [5, 3]],
      [[0, random.integer(1, 100)], [random.integer(1, 70), random.integer(1, 40)], [0, 2], [16, 17]],
    ];
    for (const lengths of batches) {
      const input = randomInput(random, variant, lengths);
      const words = await run(variant, input, () => full);
      const rows = lengths.reduce((sum, [, n]) => sum + n, 0);
      const columns = input.queryHeads * variant.headDim;
      expectClose(unpacked(words, rows, columns, variant.type), causalAttention(input), variant.type);
      expectPoison(words, packedBytes(rows, columns, variant.type) / 4, words.length, variant.type);
    }
  });

  it.each(variants)('%s: a row has the same bits however its sequence is tiled and whoever is packed beside it', async (_, variant) => {
    const random = testRandom();
    const full = attentionRows(variant.shape);
    const input = randomInput(random, variant, [[0, random.integer(1, 20)], [random.integer(1, 40), random.integer(17, 30)]]);
    const columns = input.queryHeads * variant.headDim;
    const rowsOf = (words: Uint32Array, first: number, count: number) =>
      unpacked(words, first + count, columns, variant.type).subarray(first * columns);
    const whole = await run(variant, input, () => full);
    const rows = input.sequences.reduce((sum, sequence) => sum + sequence.rows, 0);
    for (const size of range(Math.min(16, full)).map((n) => n + 1)) {
      expect(rowsOf(await run(variant, input, () => size), 0, rows), `tiles of ${size}`).toEqual(rowsOf(whole, 0, rows));
    }
    const second = input.sequences[1]!;
    const alone = { ...input, q: input.q.subarray(second.firstRow * columns), sequences: [{ ...second, firstRow: 0 }] };
    expect(rowsOf(await run(variant, alone, () => full), 0, second.rows)).toEqual(rowsOf(whole, second.firstRow, second.rows));
  });

  it('scores far apart neither overflow nor lose the largest', async () => {
    const random = testRandom();
    const variant: Variant = { shape: { kind: 'broadcast', L: adapter.L, QB: 1, KT: 16 }, headDim: 8, type: 'f32' };
    const input = randomInput(random, variant, [[0, 40]]);
    const steep = { ...input, q: input.q.map((v) => Math.fround(v * 200)) };
    const words = await run(variant, steep, () => attentionRows(variant.shape));
    const expected = causalAttention(steep);
    const errors = unpacked(words, 40, input.queryHeads * 8, 'f32').map((v, i) => Math.abs(v - expected[i]!));
    // Scores of some hundreds carry an error of some 1e-5 into the exponent, so the usual tolerance does not hold here.
    expect(Math.max(...errors)).toBeLessThan(1e-3);
  });
});
