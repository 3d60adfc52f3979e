/** Rotary embedding into KV blocks, and causal attention over them. */
import type { GpuDevice } from '../device.ts';
import type { AttentionShape, OperandDtype } from '../plan.ts';
import { f32, type Binding, type Recorder } from '../recorder.ts';

/** Tokens of a KV block. */
export const BLOCK_TOKENS = 16;

/** Keys and values of one layer: [block][n_kv][2 panels][d / 8][8 tokens][8]. */
export interface KvBlocks {
  readonly keys: Binding;
  readonly values: Binding;
}

/** Bytes of the keys (or of the values) of `blocks` blocks. */
export const kvBytes = (blocks: number, kvHeads: number, headDim: number, dtype: OperandDtype): number =>
  blocks * kvHeads * BLOCK_TOKENS * headDim * (dtype === 'f32' ? 4 : 2);

export interface RopeKv {
  /** `all`: q, k and v; `kv` or `q` alone: `qkv` holds those columns only. */
  readonly parts: 'all' | 'kv' | 'q';
  readonly tokens: number;
  /** Index of the first token in `positions` and `kvSlots`. */
  readonly firstToken: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly eps: number;
  readonly type: OperandDtype;
  /** f32 [tokens, heads * d] */
  readonly qkv: Binding;
  readonly positions: Binding;
  /** f32 [maxPosition, d]: cos then sin. */
  readonly rope: Binding;
  /** f32 [2 d]: q norm, k norm. */
  readonly norms: Binding;
  readonly q?: Binding;
  readonly kvSlots?: Binding;
  readonly kv?: KvBlocks;
}

const THREADS = 64;
const MAX_GROUPS_X = 16384; // rope-kv.wgsl counts threads in rows of this many groups

/** q, k: per-head RMSNorm and rotation; q scaled to `q`, k and v into their blocks. */
export function ropeKv(gpu: GpuDevice, recorder: Recorder, op: RopeKv): void {
  const queryHeads = op.parts === 'kv' ? 0 : op.queryHeads;
  const kvHeads = op.parts === 'q' ? 0 : op.kvHeads;
  const heads = queryHeads + 2 * kvHeads;
  const kernel = gpu.pipelines.get('rope-kv', { d: op.headDim, kvType: op.type, parts: op.parts });
  const params = [op.tokens, heads, queryHeads, kvHeads, op.headDim / 4, f32(op.eps), op.firstToken];
  const buffers = [op.qkv, op.positions, op.rope, op.norms, ...(op.q ? [op.q] : []), ...(op.kvSlots && op.kv ? [op.kvSlots, op.kv.keys, op.kv.values] : [])];
  const groups = Math.ceil((op.tokens * heads) / THREADS);
  recorder.dispatch(kernel, params, buffers, Math.min(groups, MAX_GROUPS_X), Math.ceil(groups / MAX_GROUPS_X));
}

export interface Attention {
  readonly shape: AttentionShape;
  readonly headDim: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly type: OperandDtype;
  readonly q: Binding;
  readonly kv: KvBlocks;
  /** vec4<u32>: first row, rows, position of the first row, offset into the block table. */
  readonly tiles: Binding;
  readonly tileCount: number;
  readonly blockTable: Binding;
  /** Packed operand [rows, n_q d]. */
  readonly out: Binding;
}

/** Causal grouped-query attention; see attention-broadcast.wgsl. */
export function attention(gpu: GpuDevice, recorder: Recorder, op: Attention): void {
  const { kind, ...size } = op.shape;
  const kernel = gpu.pipelines.get(`attention-${kind}`, { ...size, d: op.headDim, kvType: op.type, aType: op.type });
  const buffers = [op.q, op.kv.keys, op.kv.values, op.tiles, op.blockTable, op.out];
  recorder.dispatch(kernel, [op.queryHeads, op.kvHeads, op.headDim / 8], buffers, op.queryHeads, op.tileCount);
}
