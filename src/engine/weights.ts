/** The weights every rank holds: everything but the experts. */
import { bf16ToF32, f16ToF32 } from '../model/float16.ts';
import type { LayerWeights, ModelConfig, ModelWeights, RawTensor } from '../model/types.ts';
import type { GpuDevice } from '../runtime/device.ts';
import type { ExpertBank } from '../runtime/kernels/matmul.ts';
import { CELL, padTo, type PackedDtype } from '../runtime/layout.ts';
import { uploadMatrix, uploadStacked, type PackedMatrix } from '../runtime/matrix.ts';
import { expertLayout, packExpert, type ExpertLayout } from './expert-layout.ts';

/** Biases of the fused projection: all columns, and the two parts that the last layer computes apart. */
export interface QkvBias {
  readonly all: GPUBuffer;
  readonly q: GPUBuffer;
  readonly kv: GPUBuffer;
}

/** The MLP of a dense layer, held like a single expert that every token chooses with weight one. */
export interface DenseMlp {
  readonly layout: ExpertLayout;
  readonly bank: ExpertBank;
}

export interface DeviceLayer {
  readonly inputNorm: GPUBuffer;
  /** [(n_q + 2 n_kv) d, H]: q, k, v. */
  readonly qkv: PackedMatrix;
  readonly qkvBias?: QkvBias;
  /** [H, n_q d] */
  readonly output: PackedMatrix;
  readonly outputBias?: GPUBuffer;
  /** q norm [d], k norm [d]. */
  readonly headNorms: GPUBuffer;
  readonly postAttentionNorm: GPUBuffer;
  /** [E, H] in f32: a rounded router would choose other experts. */
  readonly router?: PackedMatrix;
  readonly dense?: DenseMlp;
}

export interface DeviceWeights {
  readonly embedding: PackedMatrix;
  /** [V, H]; the embedding itself when tied. */
  readonly head: PackedMatrix;
  readonly finalNorm: GPUBuffer;
  readonly layers: readonly DeviceLayer[];
}

const STORAGE = () => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;

/** A stored vector as f32. */
export function vectorOf({ dtype, bytes }: RawTensor): Float32Array {
  if (dtype === 'F32') return new Float32Array(bytes.slice().buffer);
  const halves = new Uint16Array(bytes.slice().buffer);
  return Float32Array.from(halves, dtype === 'F16' ? f16ToF32 : bf16ToF32);
}

function uploadVector(gpu: GpuDevice, label: string, parts: readonly RawTensor[]): GPUBuffer {
  const values = parts.flatMap((part) => [...vectorOf(part)]);
  const padded = new Float32Array(padTo(values.length, CELL));
  padded.set(values);
  const buffer = gpu.createBuffer(label, padded.byteLength, STORAGE());
  gpu.upload(buffer, new Uint8Array(padded.buffer));
  return buffer;
}

const present = (parts: readonly (RawTensor | undefined)[]): RawTensor[] => parts.filter((part) => part !== undefined);

function uploadDense(gpu: GpuDevice, label: string, config: ModelConfig, layer: LayerWeights, dtype: PackedDtype): DenseMlp | undefined {
  if (!layer.mlp) return undefined;
  const layout = expertLayout({ hiddenSize: config.hiddenSize, moeIntermediateSize: config.intermediateSize }, dtype);
  const blob = new Uint8Array(layout.expertBytes);
  packExpert(layer.mlp, layout, blob);
  const buffer = gpu.createBuffer(label, blob.byteLength, STORAGE());
  gpu.upload(buffer, blob);
  return { layout, bank: { buffer, firstExpert: 0, experts: 1, expertBytes: layout.expertBytes } };
}

async function uploadLayer(gpu: GpuDevice, config: ModelConfig, layer: LayerWeights, index: number, dtype: PackedDtype): Promise<DeviceLayer> {
  const { hiddenSize } = config;
  const label = (part: string): string => `attention/${index} ${part}`;
  const kvBias = present([layer.kBias, layer.vBias]);
  const dense = uploadDense(gpu, `dense/${index}`, config, layer, dtype);
  const { router } = layer;
  return {
    inputNorm: uploadVector(gpu, label('input norm'), [layer.inputNorm]),
    qkv: await uploadStacked(gpu, label('qkv'), hiddenSize, dtype, [layer.qProj, layer.kProj, layer.vProj]),
    output: await uploadStacked(gpu, label('output'), config.numAttentionHeads * config.headDim, dtype, [layer.oProj]),
    headNorms: uploadVector(gpu, label('head norms'), [layer.qNorm, layer.kNorm]),
    postAttentionNorm: uploadVector(gpu, label('post norm'), [layer.postAttentionNorm]),
    ...(layer.qBias && {
      qkvBias: {
        all: uploadVector(gpu, label('bias'), [layer.qBias, ...kvBias]),
        q: uploadVector(gpu, label('bias'), [layer.qBias]),
        kv: uploadVector(gpu, label('bias'), kvBias),
      },
    }),
    ...(layer.oBias && { outputBias: uploadVector(gpu, label('bias'), [layer.oBias]) }),
    ...(router && { router: await uploadStacked(gpu, label('router'), hiddenSize, 'f32', [router]) }),
    ...(dense && { dense }),
  };
}

export interface UploadOptions {
  /** Whether the model's ends are wanted: stages of a pipeline have one of them, or none. Both by default. */
  readonly ends?: { readonly embedding: boolean; readonly head: boolean };
  /** Called after each layer. */
  readonly onLayer?: ((done: number, of: number) => void) | undefined;
}

/** Uploads embedding, attention, routers, norms, dense MLPs and head, layer by layer. */
export async function uploadWeights(gpu: GpuDevice, weights: ModelWeights, dtype: PackedDtype, { ends = { embedding: true, head: true }, onLayer }: UploadOptions = {}): Promise<DeviceWeights> {
  const { config } = weights;
  const { vocabSize, hiddenSize, numHiddenLayers } = config;
  const table = (label: string, read: ModelWeights['embeddingRows']): Promise<PackedMatrix> =>
    uploadMatrix(gpu, label, vocabSize, hiddenSize, dtype, read);
  const nothing: PackedMatrix = { rows: 0, k: hiddenSize, dtype, banks: [] };
  const tied = config.tieWordEmbeddings && ends.head;
  const embedding = ends.embedding || tied ? await table('embedding', (start, count) => weights.embeddingRows(start, count)) : nothing;
  const head = tied ? embedding : ends.head ? await table('head', (start, count) => weights.headRows(start, count)) : nothing;
  const finalNorm = uploadVector(gpu, 'head/norm', [await weights.finalNorm()]);
  const layers: DeviceLayer[] = [];
  for (let layer = 0; layer < numHiddenLayers; layer++) {
    layers.push(await uploadLayer(gpu, config, await weights.layer(layer), layer, dtype));
    onLayer?.(layer + 1, numHiddenLayers);
  }
  return { embedding, head, finalNorm, layers };
}
