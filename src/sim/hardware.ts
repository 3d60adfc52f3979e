/**
 * The paper's machines, and the link that gives this machine their proportion of transfer to compute (`--link paper:...`).
 *
 * What is held is the *hardware's* bytes per FLOP: r = link bytes/s / (MFU x peak FLOP/s), the bytes that arrive while one FLOP is computed.
 * Times of a gather and of a layer's compute then stand to each other as they do there for a model of the same proportions. The model's own
 * proportion, bytes of a layer's experts per FLOP of a token, is not touched: it belongs to the model that is run, and {@link paperLink}
 * prints what it comes to (tokens a rank from which a gather is hidden), here and there.
 *
 * A rank receives (P-1)/P of a layer, 7/8 of it on eight devices. So that P ranks stand for eight, the bandwidth shrinks with the gathered share:
 *
 *     B' = r x F x ((P-1)/P) / (7/8)          F: FLOP/s that whole passes of one rank reach here where nothing travels, measured
 *
 * as the rate there is what whole passes reached (MFU x peak). The factor is exact for what grows with (P-1)/P: gathers, AllGathers and
 * ReduceScatters, and a dispatch of every chosen copy (k (P-1)/P). A dispatch once to each rank is gentler with few ranks than with many: of 4
 * experts a token has some on 0.94 of one other rank, on 2.9 of seven; `ep:expert` stands for eight ranks, `ep` for the ranks that there are.
 */
import { InputError } from '../errors.ts';
import { layerFlops, layerExpertBytes } from '../model/flops.ts';
import type { ModelConfig } from '../model/types.ts';
import { hardwarePreset, peakOf } from './presets/hardware.ts';
import { PRECISION_BYTES } from './presets/hardware-schema.ts';

/** Eight devices with one link each. */
export interface Hardware {
  readonly devices: 8;
  readonly name: string;
  readonly precision: 'BF16' | 'FP8';
  /** Of a weight at that precision. */
  readonly elementBytes: 1 | 2;
  /** Peak dense FLOP/s of one device, multiply-add = 2. */
  readonly peakFlopsPerSecond: number;
  /** NVLink of one device, in each direction. */
  readonly linkBytesPerSecond: number;
  /** Memory of one device. */
  readonly memoryBytesPerSecond: number;
}

/** One of the presets (their figures have their sources) at one precision. */
function atPrecision(preset: string, precision: Hardware['precision']): Hardware {
  const hardware = hardwarePreset(preset);
  const name = precision === 'BF16' ? 'bf16' : 'fp8';
  return {
    devices: 8, name: hardware.title, precision, elementBytes: PRECISION_BYTES[name], peakFlopsPerSecond: peakOf(hardware, name).value,
    linkBytesPerSecond: (hardware.link as NonNullable<typeof hardware.link>).bytesPerSecond.value, memoryBytesPerSecond: hardware.memoryBytesPerSecond.value,
  };
}

/** The four machines that the paper measured on. */
export const HARDWARE: Readonly<Record<string, Hardware>> = {
  '8xa100-bf16': atPrecision('a100-80', 'BF16'),
  '8xh100-bf16': atPrecision('h100-80', 'BF16'),
  '8xh100-fp8': atPrecision('h100-80', 'FP8'),
  '8xh200-fp8': atPrecision('h200-141', 'FP8'),
};
export const hardwareNames: readonly string[] = Object.keys(HARDWARE);

/** Middle of what the paper measured with eight devices (29.8 to 34.7 %, section 8.5); given for H100 FP8 only, so the same for all. */
export const PAPER_MFU = 0.32;

/** @throws InputError for a name that is none of {@link HARDWARE} */
export function hardwareOf(name: string): Hardware {
  if (!Object.hasOwn(HARDWARE, name)) throw new InputError('--link', `paper:${name}`, `is unknown; expected paper: with ${hardwareNames.join(', ')}`);
  return HARDWARE[name] as Hardware;
}

/** Bytes that a link brings while a device computes one FLOP. */
export const bytesPerFlop = ({ linkBytesPerSecond, peakFlopsPerSecond }: Hardware): number => linkBytesPerSecond / (PAPER_MFU * peakFlopsPerSecond);

/** Share of a layer that a rank receives. */
const gatheredShare = (ranks: number): number => (ranks - 1) / ranks;

export interface HereSetting {
  readonly ranks: number;
  /** Measured, of one rank. */
  readonly flopsPerSecond: number;
  readonly config: ModelConfig;
  /** Of a weight on the wire. */
  readonly weightBytes: number;
}

export interface PaperLink {
  /** In each direction; null for one rank, which has no link. */
  readonly bytesPerSecond: number | null;
  /** The arithmetic, a line a step, with all numbers. */
  readonly lines: readonly string[];
}

/** FLOPs of one token in a MoE layer, without attention to other tokens. */
function tokenLayerFlops(config: ModelConfig): number {
  const layer = config.layerIsMoe.indexOf(true);
  const { projections, router, experts } = layerFlops(config, layer, { newTokens: 1 });
  return projections + router + experts;
}

/** Tokens a rank whose compute of a layer lasts as long as its gather. */
const tokensToHide = (gatheredBytes: number, bytesPerSecond: number, flopsPerSecond: number, tokenFlops: number): number =>
  ((gatheredBytes / bytesPerSecond) * flopsPerSecond) / tokenFlops;

const GB = 1e9;
const decimals = (value: number, digits = 3): string => String(Number(value.toPrecision(digits)));

/** The link of `hardware` at the size of this machine; see the head of this file. */
export function paperLink(hardware: Hardware, { ranks, flopsPerSecond, config, weightBytes }: HereSetting, paperModel: ModelConfig): PaperLink {
  const { name, precision, elementBytes, devices } = hardware;
  const ratio = bytesPerFlop(hardware);
  const lines = [
    `${name} ${precision}: r = ${decimals(hardware.linkBytesPerSecond / GB)} GB/s / (${PAPER_MFU} x ${decimals(hardware.peakFlopsPerSecond / 1e12, 5)} TFLOP/s) = ${decimals(ratio * 1e3, 4)} bytes per kFLOP`,
  ];
  if (ranks === 1) return { bytesPerSecond: null, lines: [...lines, '1 rank has no link'] };
  const bytesPerSecond = (ratio * flopsPerSecond * gatheredShare(ranks)) / gatheredShare(devices);
  const here = tokensToHide(layerExpertBytes(config, weightBytes) * gatheredShare(ranks), bytesPerSecond, flopsPerSecond, tokenLayerFlops(config));
  const there = tokensToHide(
    layerExpertBytes(paperModel, elementBytes) * gatheredShare(devices), hardware.linkBytesPerSecond, PAPER_MFU * hardware.peakFlopsPerSecond, tokenLayerFlops(paperModel),
  );
  lines.push(
    `B' = r x F x ((P-1)/P) / (7/8) = ${decimals(ratio * 1e3, 4)} bytes/kFLOP x ${decimals(flopsPerSecond / GB)} GFLOP/s a rank x (${ranks - 1}/${ranks}) / (7/8) = ${decimals(bytesPerSecond / 1e6, 4)} MB/s in each direction`,
    `a weight: ${weightBytes} ${weightBytes === 1 ? 'byte' : 'bytes'} on the wire here, ${elementBytes} there (${precision})${weightBytes === elementBytes ? '' : `; a gather weighs ${decimals(weightBytes / elementBytes)} times as much here`}`,
    `a layer's gather is hidden from ${Math.round(here)} tokens a rank here, from ${Math.round(there)} there with Qwen3-235B-A22B (attention to other tokens not counted)`,
  );
  return { bytesPerSecond, lines };
}
