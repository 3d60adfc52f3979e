/** Cosines and sines of every position that a batch reaches, on the device. */
import { ropeFrequencies } from '../model/rope.ts';
import type { ModelConfig } from '../model/types.ts';
import type { GpuDevice } from '../runtime/device.ts';

const GROWTH_TOKENS = 1024;

/**
 * f32 [positions, d]: d/2 cosines, then d/2 sines. Angles are products rounded to f32, as the reference implementation
 * computes them; cosine and sine of that angle are exact to f32.
 */
export function ropeTable(config: ModelConfig, positions: number): Float32Array {
  const { inverseFrequencies, attentionFactor } = ropeFrequencies(config);
  const half = inverseFrequencies.length;
  const table = new Float32Array(positions * 2 * half);
  for (let position = 0; position < positions; position++) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(position * (inverseFrequencies[i] ?? 0));
      table[position * 2 * half + i] = Math.cos(angle) * attentionFactor;
      table[position * 2 * half + half + i] = Math.sin(angle) * attentionFactor;
    }
  }
  return table;
}

export class RopeTable {
  private positions = 0;
  private table: GPUBuffer | undefined;

  constructor(
    private readonly gpu: GpuDevice,
    private readonly config: ModelConfig,
  ) {}

  /** Bytes of the table as it is. */
  get size(): { readonly rope: number } {
    return { rope: this.table?.size ?? 0 };
  }

  /** The table for at least `positions` positions. The one it replaces is freed: nothing that uses it may be unsubmitted. */
  buffer(positions: number): GPUBuffer {
    if (this.table && positions <= this.positions) return this.table;
    if (this.table) this.gpu.destroyBuffer(this.table);
    this.positions = Math.min(this.config.maxPositionEmbeddings, Math.ceil(positions / GROWTH_TOKENS) * GROWTH_TOKENS);
    const values = ropeTable(this.config, this.positions);
    this.table = this.gpu.createBuffer('workspace/rope', values.byteLength, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
    this.gpu.upload(this.table, new Uint8Array(values.buffer));
    return this.table;
  }
}
