import { describe, expect, it } from 'vitest';
import { memoryFiles } from '../../src/model/files.ts';
import { openSafetensors, openShards } from '../../src/model/safetensors.ts';
import { concat, counting, messageOf, safetensors, withHeader } from './folders.ts';

const open = (bytes: Uint8Array) => openSafetensors(memoryFiles('m', { 'w.safetensors': bytes }), 'w.safetensors');
const refusal = (bytes: Uint8Array): Promise<string> => messageOf(() => open(bytes));
const TWO = { a: counting([2, 3], 0), b: counting([4], 10) };

describe('safetensors', () => {
  it('says where each tensor lies in the file', async () => {
    const bytes = safetensors(TWO);
    const { tensors } = await open(bytes);
    expect([...tensors.keys()]).toEqual(['a', 'b']);
    const b = tensors.get('b')!;
    expect([b.dtype, b.shape, b.bytes]).toEqual(['F32', [4], 16]);
    expect([...new Float32Array(bytes.slice(b.offset, b.offset + b.bytes).buffer)]).toEqual([10, 11, 12, 13]);
  });

  it('takes empty tensors, scalars and dtypes that only others use', async () => {
    const { tensors } = await open(safetensors({
      none: counting([0, 3], 0), scalar: counting([], 7), ids: { dtype: 'I64', shape: [1], bytes: new Uint8Array(8) },
    }));
    expect([...tensors.values()].map(({ bytes }) => bytes)).toEqual([0, 4, 8]);
  });

  it('refuses truncated files', async () => {
    const bytes = safetensors(TWO);
    expect(await refusal(bytes.slice(0, 5))).toMatchInlineSnapshot(`"InputError: m/w.safetensors: is truncated: expected a header length of 8 bytes, the file has 5"`);
    expect(await refusal(bytes.slice(0, 50))).toMatchInlineSnapshot(`"InputError: m/w.safetensors: is truncated: the header ends at byte 151, the file at 50"`);
    expect(await refusal(bytes.slice(0, -20))).toMatchInlineSnapshot(`"InputError: m/w.safetensors: a: is truncated: the tensor ends at byte 175, the file at 171"`);
    expect(await refusal(bytes.slice(0, -1))).toMatchInlineSnapshot(`"InputError: m/w.safetensors: b: is truncated: the tensor ends at byte 191, the file at 190"`);
  });

  it('refuses what is not safetensors', async () => {
    expect(await refusal(new TextEncoder().encode('version https://git-lfs.github.com/spec/v1'))).toMatchInlineSnapshot(`"InputError: m/w.safetensors: is a Git LFS pointer, not the weights; fetch them with \`git lfs pull\`"`);
    expect(await refusal(new Uint8Array(64))).toMatchInlineSnapshot(`"InputError: m/w.safetensors: is not a safetensors file: its header would have 0 bytes; expected 2 to 100000000"`);
    expect(await refusal(withHeader('{"a": ', new Uint8Array(4)))).toMatch(/^InputError: m\/w.safetensors: is not valid JSON: /);
    expect(await refusal(withHeader('[1, 2]', new Uint8Array(4)))).toMatchInlineSnapshot(`"InputError: m/w.safetensors: expected a JSON object as header"`);
    const broken = safetensors(TWO);
    broken[12] = 0xff;
    expect(await refusal(broken)).toMatchInlineSnapshot(`"InputError: m/w.safetensors: is not a safetensors file: its header is not UTF-8 text"`);
  });

  it('refuses entries that contradict themselves', async () => {
    const edited = (edit: (header: Record<string, any>) => void) => refusal(safetensors(TWO, edit));
    expect(await edited((h) => { h['a'] = 3; })).toMatchInlineSnapshot(`"InputError: m/w.safetensors: a: expected an object with dtype, shape and data_offsets, got 3"`);
    expect(await edited((h) => { h['a'].dtype = 'F31'; })).toMatchInlineSnapshot(`"InputError: m/w.safetensors: a: unknown dtype "F31"; expected one of BOOL, U8, I8, F8_E5M2, F8_E4M3, F8_E8M0, F8_E4M3FNUZ, F8_E5M2FNUZ, F4, F6_E2M3, F6_E3M2, I16, U16, F16, BF16, I32, U32, F32, I64, U64, F64, C64"`);
    expect(await edited((h) => { h['a'].dtype = 'BF16'; })).toMatchInlineSnapshot(`"InputError: m/w.safetensors: a: has 24 bytes; expected 12 for BF16 [2,3]"`);
    expect(await edited((h) => { h['a'].shape = [2, -3]; })).toMatchInlineSnapshot(`"InputError: m/w.safetensors: a: expected a shape of non-negative integers, got [2,-3]"`);
    expect(await edited((h) => { h['a'].shape = [2, 4]; })).toMatchInlineSnapshot(`"InputError: m/w.safetensors: a: has 24 bytes; expected 32 for F32 [2,4]"`);
    expect(await edited((h) => { h['a'].data_offsets = [24, 0]; })).toMatchInlineSnapshot(`"InputError: m/w.safetensors: a: expected data_offsets [begin, end], got [24,0]"`);
  });

  it('refuses tensors that overlap, leave gaps or end outside the file', async () => {
    const moved = (by: number) => refusal(safetensors(TWO, (h) => { h['b'].data_offsets = [24 + by, 40 + by]; }));
    expect(await moved(-4)).toMatchInlineSnapshot(`"InputError: m/w.safetensors: b: overlaps the tensor before it: begins at byte 171, expected 175"`);
    expect(await moved(4)).toMatchInlineSnapshot(`"InputError: m/w.safetensors: b: is truncated: the tensor ends at byte 195, the file at 191"`);
    expect(await refusal(safetensors({ ...TWO, c: counting([1], 0) }, (h) => { delete h['c']; h['b'].data_offsets = [28, 44]; }))).toMatchInlineSnapshot(`"InputError: m/w.safetensors: b: leaves a gap after the tensor before it: begins at byte 179, expected 175"`);
    expect(await refusal(concat([safetensors(TWO), new Uint8Array(4)]))).toMatchInlineSnapshot(`"InputError: m/w.safetensors: has 4 bytes after its last tensor; expected none"`);
  });
});

describe('the shards of a folder', () => {
  const INDEX = 'model.safetensors.index.json';
  const refused = (contents: Record<string, string | Uint8Array>): Promise<string> => messageOf(() => openShards(memoryFiles('m', contents)));
  const index = (map: unknown): string => JSON.stringify({ metadata: {}, weight_map: map });

  it('are those that the index names', async () => {
    const shards = await openShards(memoryFiles('m', {
      [INDEX]: index({ a: 'one.safetensors', b: 'two.safetensors' }),
      'one.safetensors': safetensors({ a: TWO.a }),
      'two.safetensors': safetensors({ b: TWO.b }),
      'other.safetensors': new Uint8Array(3),
    }));
    expect(shards.map(({ path, tensors }) => [path, ...tensors.keys()])).toEqual([['one.safetensors', 'a'], ['two.safetensors', 'b']]);
  });

  it('are refused when they, or the index, are missing or wrong', async () => {
    expect(await refused({})).toMatchInlineSnapshot(`"InputError: m: has no weights; expected model.safetensors, or model.safetensors.index.json with its shards"`);
    expect(await refused({ [INDEX]: '{}' })).toMatchInlineSnapshot(`"InputError: m/model.safetensors.index.json: weight_map: expected an object from tensor names to files, got nothing"`);
    expect(await refused({ [INDEX]: index({}) })).toMatchInlineSnapshot(`"InputError: m/model.safetensors.index.json: weight_map: expected an object from tensor names to files, got {}"`);
    expect(await refused({ [INDEX]: index({ a: 3 }) })).toMatchInlineSnapshot(`"InputError: m/model.safetensors.index.json: weight_map.a: expected the name of a .safetensors file in this folder, got 3"`);
    expect(await refused({ [INDEX]: index({ a: '../../other/model.safetensors' }) })).toMatchInlineSnapshot(`"InputError: m/model.safetensors.index.json: weight_map.a: expected the name of a .safetensors file in this folder, got "../../other/model.safetensors""`);
    expect(await refused({ [INDEX]: index({ a: 'one.safetensors' }) })).toMatchInlineSnapshot(`"InputError: m/model.safetensors.index.json: weight_map.a: points to one.safetensors, which is missing from m"`);
    expect(await refused({ [INDEX]: index({ b: 'one.safetensors' }), 'one.safetensors': safetensors({ a: TWO.a }) })).toMatchInlineSnapshot(`"InputError: m/model.safetensors.index.json: weight_map.b: points to one.safetensors, which has no such tensor"`);
  });
});
