/** The prefix cache of an engine: the index, and for each layer a pool of keys and one of values. */
import { InputError } from '../../errors.ts';
import type { ModelConfig } from '../../model/types.ts';
import type { GpuDevice } from '../../runtime/device.ts';
import { kvBytes, type KvBlocks } from '../../runtime/kernels/attention.ts';
import { kvCopy } from '../../runtime/kernels/kv-copy.ts';
import type { KernelPlan } from '../../runtime/plan.ts';
import type { Sequence } from '../batch.ts';
import type { LayerContext } from '../layer.ts';
import { maxKvBlocks } from '../workspace.ts';
import { PrefixCache, type PrefixPlan } from './prefix-cache.ts';

/** Of the keys, or of the values, of a block in one layer. */
const blockBytes = ({ numKeyValueHeads, headDim }: ModelConfig, plan: KernelPlan): number => kvBytes(1, numKeyValueHeads, headDim, plan.operands.attention);

/** Two u32. A plan restores a cache block or stores into it, not both: there is one pair for each at most. */
const PAIR_BYTES = 8;
const bytesPerBlock = (config: ModelConfig, plan: KernelPlan): number => 2 * config.numHiddenLayers * blockBytes(config, plan) + PAIR_BYTES;

/**
 * Blocks of a cache of at most `budgetBytes`, so that a layer's keys, and its values, fit one binding.
 * @throws InputError when the budget is no number of bytes
 */
export function prefixCacheBlocks(config: ModelConfig, plan: KernelPlan, budgetBytes: number, maxBindingBytes: number): number {
  if (!(budgetBytes >= 0)) throw new InputError('engine', 'prefixCacheBytes', `${budgetBytes}; expected a number of bytes`);
  return Math.min(Math.floor(budgetBytes / bytesPerBlock(config, plan)), maxKvBlocks(config, plan, maxBindingBytes));
}

/** Device memory that a cache of so many blocks takes. */
export const prefixCacheBytes = (config: ModelConfig, plan: KernelPlan, blocks: number): number => blocks * bytesPerBlock(config, plan);

export class PrefixKv {
  readonly blocks: number;
  readonly #cache: PrefixCache;
  readonly #blockBytes: number;
  /** One a layer; none when nothing is kept for later batches. */
  readonly #pools: readonly KvBlocks[];
  /** Pairs of the pass that is being recorded: restores, then stores. */
  readonly #pairs: GPUBuffer | undefined;
  #restores = 0;
  #stores = 0;

  constructor(
    private readonly gpu: GpuDevice,
    config: ModelConfig,
    plan: KernelPlan,
    budgetBytes: number,
  ) {
    this.blocks = prefixCacheBlocks(config, plan, budgetBytes, gpu.maxBindingBytes);
    this.#cache = new PrefixCache(this.blocks);
    this.#blockBytes = blockBytes(config, plan);
    const buffer = (label: string, bytes: number): GPUBuffer => gpu.createBuffer(`prefix cache/${label}`, bytes, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
    const poolBytes = this.blocks * this.#blockBytes;
    this.#pools = this.blocks === 0 ? [] : Array.from({ length: config.numHiddenLayers }, (_, layer) =>
      ({ keys: buffer(`layer ${layer} keys`, poolBytes), values: buffer(`layer ${layer} values`, poolBytes) }));
    this.#pairs = this.blocks === 0 ? undefined : buffer('pairs', this.blocks * PAIR_BYTES);
  }

  /** See {@link PrefixCache.plan}; the copies of the pass recorded next are those of this plan. */
  plan(sequences: readonly Sequence[]): PrefixPlan {
    const plan = this.#cache.plan(sequences);
    this.#restores = plan.restores.length / 2;
    this.#stores = plan.stores.length / 2;
    if (this.#pairs) {
      this.gpu.queue.writeBuffer(this.#pairs, 0, plan.restores as Uint32Array<ArrayBuffer>);
      this.gpu.queue.writeBuffer(this.#pairs, this.#restores * PAIR_BYTES, plan.stores as Uint32Array<ArrayBuffer>);
    }
    return plan;
  }

  forget(plan: PrefixPlan): void {
    this.#cache.forget(plan);
  }

  clear(): void {
    this.#cache.clear();
  }

  /** Before a layer: cached blocks into the workspace. */
  recordRestores(ctx: LayerContext, layer: number): void {
    const pool = this.#pools[layer];
    if (pool) this.#record(ctx, pool, ctx.work, 0, this.#restores);
  }

  /** Behind a layer: new blocks into the cache. */
  recordStores(ctx: LayerContext, layer: number): void {
    const pool = this.#pools[layer];
    if (pool) this.#record(ctx, ctx.work, pool, this.#restores, this.#stores);
  }

  #record({ gpu, recorder }: LayerContext, from: KvBlocks, to: KvBlocks, first: number, count: number): void {
    kvCopy(gpu, recorder, { from, to, pairs: this.#pairs as GPUBuffer, first, count, blockBytes: this.#blockBytes });
  }
}
