/** Model folders in memory, written byte by byte for the tests of this directory. */
import { type ModelFiles, memoryFiles } from '../../src/model/files.ts';

export interface TestTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A safetensors file; `edit` may damage its header before it is written. */
export function safetensors(tensors: Readonly<Record<string, TestTensor>>, edit: (header: Record<string, any>) => void = () => {}): Uint8Array {
  const header: Record<string, any> = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
  }
  edit(header);
  return withHeader(JSON.stringify(header), concat(Object.values(tensors).map(({ bytes }) => bytes)));
}

export function withHeader(header: string, data: Uint8Array): Uint8Array {
  const text = new TextEncoder().encode(header);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true);
  return concat([length, text, data]);
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** F32 tensor with values `from`, `from + 1`, ... */
export function counting(shape: readonly number[], from: number): TestTensor {
  const count = shape.reduce((product, n) => product * n, 1);
  return { dtype: 'F32', shape, bytes: new Uint8Array(Float32Array.from({ length: count }, (_, i) => from + i).buffer) };
}

export const TINY = {
  model_type: 'qwen3_moe',
  architectures: ['Qwen3MoeForCausalLM'],
  vocab_size: 10,
  hidden_size: 6,
  intermediate_size: 5,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 4,
  moe_intermediate_size: 3,
  num_experts: 4,
  num_experts_per_tok: 2,
  mlp_only_layers: [1],
  max_position_embeddings: 32,
};

type Tensors = Record<string, TestTensor>;

/** All tensors of TINY, layer 0 MoE with its experts one by one, layer 1 dense; every value occurs once. */
export function tinyTensors(): Tensors {
  const shapes: Record<string, number[]> = { 'model.embed_tokens.weight': [10, 6], 'lm_head.weight': [10, 6], 'model.norm.weight': [6] };
  for (const layer of [0, 1]) {
    const add = (name: string, ...shape: number[]): void => { shapes[`model.layers.${layer}.${name}`] = shape; };
    add('input_layernorm.weight', 6);
    add('post_attention_layernorm.weight', 6);
    add('self_attn.q_proj.weight', 8, 6);
    add('self_attn.k_proj.weight', 4, 6);
    add('self_attn.v_proj.weight', 4, 6);
    add('self_attn.o_proj.weight', 6, 8);
    add('self_attn.q_norm.weight', 4);
    add('self_attn.k_norm.weight', 4);
  }
  shapes['model.layers.0.mlp.gate.weight'] = [4, 6];
  for (let e = 0; e < 4; e++) {
    for (const part of ['gate', 'up']) shapes[`model.layers.0.mlp.experts.${e}.${part}_proj.weight`] = [3, 6];
    shapes[`model.layers.0.mlp.experts.${e}.down_proj.weight`] = [6, 3];
  }
  for (const part of ['gate', 'up']) shapes[`model.layers.1.mlp.${part}_proj.weight`] = [5, 6];
  shapes['model.layers.1.mlp.down_proj.weight'] = [6, 5];
  return Object.fromEntries(Object.entries(shapes).map(([name, shape], i) => [name, counting(shape, 1000 * i)]));
}

/** The same weights with layer 0's experts in two tensors, as transformers 5 holds them. */
export function fuse(tensors: Tensors): Tensors {
  const prefix = 'model.layers.0.mlp.experts.';
  const part = (e: number, name: string): Uint8Array => tensors[`${prefix}${e}.${name}_proj.weight`]!.bytes;
  const experts = [0, 1, 2, 3];
  return {
    ...Object.fromEntries(Object.entries(tensors).filter(([name]) => !name.startsWith(prefix))),
    [`${prefix}gate_up_proj`]: { dtype: 'F32', shape: [4, 6, 6], bytes: concat(experts.flatMap((e) => [part(e, 'gate'), part(e, 'up')])) },
    [`${prefix}down_proj`]: { dtype: 'F32', shape: [4, 6, 3], bytes: concat(experts.map((e) => part(e, 'down'))) },
  };
}

/** A folder with TINY's configuration, `config` over it, and the given tensors in one file. */
export const tinyFolder = (tensors: Tensors = tinyTensors(), config: object = {}): ModelFiles =>
  memoryFiles('tiny', { 'config.json': JSON.stringify({ ...TINY, ...config }), 'model.safetensors': safetensors(tensors) });

/** The message of the error that `run` ends with. */
export async function messageOf(run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
  return 'no error';
}
