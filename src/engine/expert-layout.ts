/**
 * An expert as the grouped matmul wants it, on the device, in segments and on the wire: one blob of
 *
 *     gate_up  panels of [2 * Ipad, H]: rows [0, I) gate, rows [Ipad, Ipad + I) up   (Ipad = I padded to 8)
 *     down     panels of [H, I], from the next multiple of 256 bytes
 *
 * padded with zeros to a multiple of 256 bytes, the coarsest alignment that a storage binding asks for.
 */
import type { MlpWeights, ModelConfig } from '../model/types.ts';
import { CELL, type PackedDtype, packedBytes, packRows, padTo } from '../runtime/layout.ts';

/** Alignment of experts and of the matrices inside. */
export const EXPERT_ALIGNMENT = 256;

export interface ExpertLayout {
  readonly dtype: PackedDtype;
  readonly hiddenSize: number;
  /** I. */
  readonly intermediateSize: number;
  /** Ipad: row of gate_up at which up begins. */
  readonly upRow: number;
  /** Bytes of packed gate_up, which begins at 0. */
  readonly gateUpBytes: number;
  /** Byte at which packed down begins. */
  readonly downOffset: number;
  readonly downBytes: number;
  /** Bytes of the whole blob, and from one expert to the next. */
  readonly expertBytes: number;
}

/** Where everything lies in an expert's blob. */
export function expertLayout(
  { hiddenSize, moeIntermediateSize }: Pick<ModelConfig, 'hiddenSize' | 'moeIntermediateSize'>,
  dtype: PackedDtype,
): ExpertLayout {
  const upRow = padTo(moeIntermediateSize, CELL);
  const gateUpBytes = packedBytes(2 * upRow, hiddenSize, dtype);
  const downOffset = padTo(gateUpBytes, EXPERT_ALIGNMENT);
  const downBytes = packedBytes(hiddenSize, moeIntermediateSize, dtype);
  const expertBytes = padTo(downOffset + downBytes, EXPERT_ALIGNMENT);
  return { dtype, hiddenSize, intermediateSize: moeIntermediateSize, upRow, gateUpBytes, downOffset, downBytes, expertBytes };
}

/** Packs an expert into `expertBytes` bytes of `into` (4-byte aligned); every byte of them is written, padding with zeros. */
export function packExpert(mlp: MlpWeights, layout: ExpertLayout, into: Uint8Array): void {
  const { dtype, upRow, gateUpBytes, downOffset, downBytes, expertBytes } = layout;
  if (layout.intermediateSize % CELL !== 0 || layout.hiddenSize % CELL !== 0) into.fill(0, 0, expertBytes);
  into.fill(0, gateUpBytes, downOffset);
  into.fill(0, downOffset + downBytes, expertBytes);
  const gateUp = into.subarray(0, gateUpBytes);
  packRows(mlp.gate, dtype, gateUp);
  packRows(mlp.up, dtype, gateUp, upRow);
  packRows(mlp.down, dtype, into.subarray(downOffset, downOffset + downBytes));
}
