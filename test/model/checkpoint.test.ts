import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/model/checkpoint.ts';
import { memoryFiles, type ModelFiles } from '../../src/model/files.ts';
import type { ModelWeights, RawTensor } from '../../src/model/types.ts';
import { openFolder } from '../../src/node/files.ts';
import { counting, fuse, messageOf, safetensors, TINY, tinyFolder, tinyTensors } from './folders.ts';

const values = ({ bytes }: RawTensor): number[] => [...new Float32Array(bytes.slice().buffer)];
const stored = (name: string): number[] => values(tinyTensors()[name]! as RawTensor);
const refusal = (files: ModelFiles): Promise<string> => messageOf(() => openCheckpoint(files));

/** Everything a checkpoint gives, by Hugging Face names. */
async function everything(weights: ModelWeights): Promise<Record<string, number[]>> {
  const found: Record<string, number[]> = {
    'model.embed_tokens.weight': values(await weights.embeddingRows(0, 10)),
    'lm_head.weight': values(await weights.headRows(0, 10)),
    'model.norm.weight': values(await weights.finalNorm()),
  };
  for (const layer of [0, 1]) {
    const prefix = `model.layers.${layer}`;
    const { mlp, router, ...parts } = await weights.layer(layer);
    const under = {
      inputNorm: 'input_layernorm', postAttentionNorm: 'post_attention_layernorm', qProj: 'self_attn.q_proj', kProj: 'self_attn.k_proj',
      vProj: 'self_attn.v_proj', oProj: 'self_attn.o_proj', qNorm: 'self_attn.q_norm', kNorm: 'self_attn.k_norm',
    } as const;
    for (const [key, tensor] of Object.entries(parts)) found[`${prefix}.${under[key as keyof typeof under]}.weight`] = values(tensor as RawTensor);
    if (router) found[`${prefix}.mlp.gate.weight`] = values(router);
    for (const part of mlp ? ['gate', 'up', 'down'] as const : []) found[`${prefix}.mlp.${part}_proj.weight`] = values(mlp![part]);
  }
  for (let e = 0; e < 4; e++) {
    const expert = await weights.expert(0, e);
    for (const part of ['gate', 'up', 'down'] as const) found[`model.layers.0.mlp.experts.${e}.${part}_proj.weight`] = values(expert[part]);
  }
  return found;
}

const ALL = Object.fromEntries(Object.keys(tinyTensors()).map((name) => [name, stored(name)]));

describe('a checkpoint', () => {
  it('gives every tensor under its role', async () => {
    expect(await everything(await openCheckpoint(tinyFolder()))).toEqual(ALL);
  });

  it('gives the same experts when they are stored fused', async () => {
    expect(await everything(await openCheckpoint(tinyFolder(fuse(tinyTensors()))))).toEqual(ALL);
  });

  it('gives the same from shards on disk', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'asyncep-test-'));
    const names = Object.keys(tinyTensors());
    const shardOf = (i: number): string => `model-0000${(i % 3) + 1}-of-00003.safetensors`;
    await writeFile(join(folder, 'config.json'), JSON.stringify(TINY));
    await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: Object.fromEntries(names.map((name, i) => [name, shardOf(i)])) }));
    for (const shard of [0, 1, 2]) {
      const own = Object.fromEntries(Object.entries(tinyTensors()).filter((_, i) => i % 3 === shard));
      await writeFile(join(folder, shardOf(shard)), safetensors(own));
    }
    const weights = await openCheckpoint(await openFolder(folder));
    expect(await everything(weights)).toEqual(ALL);
    await weights.close();
    await truncate(join(folder, shardOf(1)), 1000);
    const message = await refusal(await openFolder(folder));
    expect(message.replace(folder, 'FOLDER')).toMatchInlineSnapshot(`"InputError: FOLDER/model-00002-of-00003.safetensors: is truncated: the header ends at byte 1195, the file at 1000"`);
    await rm(folder, { recursive: true });
  });

  it('reads rows of embedding and head, of the embedding twice when tied', async () => {
    const weights = await openCheckpoint(tinyFolder());
    expect(values(await weights.headRows(3, 2))).toEqual(stored('lm_head.weight').slice(18, 30));
    const { 'lm_head.weight': _, ...without } = tinyTensors();
    const tied = await openCheckpoint(tinyFolder(without, { tie_word_embeddings: true }));
    expect((await tied.headRows(3, 2)).shape).toEqual([2, 6]);
    expect(values(await tied.headRows(3, 2))).toEqual(stored('model.embed_tokens.weight').slice(18, 30));
    await expect(weights.embeddingRows(9, 2)).rejects.toThrow('rows 9 to 11');
  });

  it('reads biases when there are some', async () => {
    const biases = Object.fromEntries([0, 1].flatMap((layer) => [['q', 8], ['k', 4], ['v', 4], ['o', 6]].map(([part, n]) =>
      [`model.layers.${layer}.self_attn.${part}_proj.bias`, counting([n as number], layer)])));
    const weights = await openCheckpoint(tinyFolder({ ...tinyTensors(), ...biases }, { attention_bias: true }));
    const layer = await weights.layer(1);
    expect([layer.qBias, layer.kBias, layer.vBias, layer.oBias].map((bias) => values(bias!).length)).toEqual([8, 4, 4, 6]);
    expect(await refusal(tinyFolder(tinyTensors(), { attention_bias: true }))).toMatchInlineSnapshot(`"InputError: tiny/model.safetensors: model.layers.0.self_attn.q_proj.bias: is missing; expected a tensor of shape [8]"`);
  });

  it('reads an expert without the rest of the file', async () => {
    const read: number[] = [];
    const files = tinyFolder(fuse(tinyTensors()));
    const weights = await openCheckpoint({ ...files, read: (path, offset, length) => (read.push(length), files.read(path, offset, length)) });
    read.length = 0;
    await weights.expert(0, 2);
    expect(read).toEqual([2 * 3 * 6 * 4, 6 * 3 * 4]);
  });

  it('takes its dtype from the files', async () => {
    expect((await openCheckpoint(tinyFolder(tinyTensors(), { torch_dtype: 'bfloat16' }))).config.dtype).toBe('F32');
  });
});

describe('a checkpoint is refused', () => {
  it('when a tensor is missing', async () => {
    const { 'lm_head.weight': _, ...headless } = tinyTensors();
    expect(await refusal(tinyFolder(headless))).toMatchInlineSnapshot(`"InputError: tiny/model.safetensors: lm_head.weight: is missing; expected a tensor of shape [10,6]"`);
    const { 'model.layers.0.mlp.experts.2.up_proj.weight': __, ...expertless } = tinyTensors();
    expect(await refusal(tinyFolder(expertless))).toMatchInlineSnapshot(`"InputError: tiny/model.safetensors: model.layers.0.mlp.experts.2.up_proj.weight: is missing; expected a tensor of shape [3,6]"`);
    const { 'model.layers.0.mlp.experts.down_proj': ___, ...half } = fuse(tinyTensors());
    expect(await refusal(tinyFolder(half))).toMatchInlineSnapshot(`"InputError: tiny/model.safetensors: model.layers.0.mlp.experts.down_proj: is missing; expected a tensor of shape [4,6,3]"`);
  });

  it('when a tensor has another shape or dtype', async () => {
    const changed = (name: string, shape: number[], dtype?: string) => {
      const tensor = counting(shape, 0);
      return refusal(tinyFolder({ ...tinyTensors(), [name]: dtype ? { ...tensor, dtype } : tensor }));
    };
    expect(await changed('model.layers.1.self_attn.o_proj.weight', [8, 6])).toMatchInlineSnapshot(`"InputError: tiny/model.safetensors: model.layers.1.self_attn.o_proj.weight: has shape [8,6]; expected [6,8] by config.json"`);
    expect(await changed('model.norm.weight', [6], 'I32')).toMatchInlineSnapshot(`"InputError: tiny/model.safetensors: model.norm.weight: has dtype I32; expected F32, F16 or BF16"`);
    expect(await refusal(tinyFolder(tinyTensors(), { num_experts: 3 }))).toMatchInlineSnapshot(`"InputError: tiny/model.safetensors: model.layers.0.mlp.gate.weight: has shape [4,6]; expected [3,6] by config.json"`);
  });

  it('when it is tied but has a head of its own', async () => {
    expect(await refusal(tinyFolder(tinyTensors(), { tie_word_embeddings: true }))).toMatchInlineSnapshot(`"InputError: tiny/config.json: tie_word_embeddings: is true, but lm_head.weight differs from model.embed_tokens.weight; expected false, or no lm_head.weight"`);
    const same = { ...tinyTensors(), 'lm_head.weight': tinyTensors()['model.embed_tokens.weight']! };
    expect(await refusal(tinyFolder(same, { tie_word_embeddings: true }))).toBe('no error');
  });

  it('when it is no folder', async () => {
    expect(await messageOf(() => openFolder('/no/such/folder'))).toMatchInlineSnapshot(`"InputError: /no/such/folder: no such folder; expected a Hugging Face model folder"`);
    expect(await messageOf(() => openFolder('/dev/null'))).toMatchInlineSnapshot(`"InputError: /dev/null: is not a folder; expected a Hugging Face model folder"`);
    expect(await refusal(memoryFiles('m', { 'config.json': JSON.stringify(TINY) }))).toMatchInlineSnapshot(`"InputError: m: has no weights; expected model.safetensors, or model.safetensors.index.json with its shards"`);
  });

  it('with every file closed', async () => {
    let closed = 0;
    await refusal({ ...memoryFiles('m', {}), close: async () => { closed++; } });
    expect(closed).toBe(1);
  });
});

describe('the model hash', () => {
  const hash = async (tensors = tinyTensors(), config = {}): Promise<string> => (await openCheckpoint(tinyFolder(tensors, config))).modelHash;

  it('is equal for equal checkpoints, however config.json is written', async () => {
    expect(await hash()).toMatch(/^[0-9a-f]{64}$/);
    expect(await hash(tinyTensors(), { use_cache: false, rope_parameters: { rope_type: 'default', rope_theta: 10000 } })).toBe(await hash());
  });

  it('differs when one byte, the configuration or the layout differs', async () => {
    const touched = tinyTensors();
    touched['model.layers.0.mlp.experts.3.down_proj.weight']!.bytes[17]! ^= 1;
    const all = await Promise.all([hash(), hash(touched), hash(fuse(tinyTensors())), hash(tinyTensors(), { rope_theta: 5e5 }),
      hash(tinyTensors(), { rope_scaling: { type: 'linear', factor: 2 } }), hash(tinyTensors(), { rope_scaling: { type: 'linear', factor: 3 } })]);
    expect(new Set(all).size).toBe(all.length);
  });

  it('samples large files all over', async () => {
    // 24 MiB of extra tensor: above the size that is hashed whole.
    const large = (at?: number): Promise<string> => {
      const bytes = new Uint8Array(24 << 20);
      if (at !== undefined) bytes.fill(1, at, at + (1 << 17));
      return hash({ extra: { dtype: 'U8', shape: [bytes.length], bytes }, ...tinyTensors() });
    };
    const all = await Promise.all([undefined, 0, 5_000_000, 12_345_678, 24_900_000].map(large));
    expect(new Set(all).size).toBe(all.length);
  });
});
