/** Blocks of keys and values from one pair of buffers to another. */
import type { GpuDevice } from '../device.ts';
import type { Binding, Recorder } from '../recorder.ts';
import type { KvBlocks } from './attention.ts';

export interface KvCopy {
  readonly from: KvBlocks;
  readonly to: KvBlocks;
  /** u32 [first + count, 2]: block in `from`, block in `to`; no block in `to` comes twice. */
  readonly pairs: Binding;
  readonly first: number;
  readonly count: number;
  /** Of the keys (or of the values) of one block, a multiple of 16: see `kvBytes`. */
  readonly blockBytes: number;
}

const THREADS = 64;
const MAX_GROUPS_X = 16384; // kv-copy.wgsl counts threads in lines of this many groups

/** to[toBlock] = from[fromBlock] for each pair, keys and values alike. */
export function kvCopy(gpu: GpuDevice, recorder: Recorder, op: KvCopy): void {
  const size = op.blockBytes / 16;
  const groups = Math.ceil((op.count * size) / THREADS);
  const buffers = [op.pairs, op.from.keys, op.from.values, op.to.keys, op.to.values];
  recorder.dispatch(gpu.pipelines.get('kv-copy', {}), [op.count, size, op.first], buffers, Math.min(groups, MAX_GROUPS_X), Math.ceil(groups / MAX_GROUPS_X));
}
