/** How the experts of one layer are laid over buffers, and how ranges of experts map onto them. */
import { AdapterError } from '../errors.ts';
import type { ExpertRange } from '../collective/partition.ts';

/** Creates a buffer and records it under `part/detail`; `GpuDevice.createBuffer` is one. */
export type CreateBuffer = (label: string, size: number, usage: GPUBufferUsageFlags) => GPUBuffer;

/** Banks hold whole experts and are as equal as they can be. */
export interface BankLayout {
  readonly numExperts: number;
  readonly expertBytes: number;
  readonly expertsPerBank: number;
  readonly numBanks: number;
}

/**
 * @param bankBytes largest buffer a kernel can bind: min(maxStorageBufferBindingSize, maxBufferSize)
 * @throws AdapterError when not even one expert fits a binding
 */
export function layOutBanks(numExperts: number, expertBytes: number, bankBytes: number): BankLayout {
  const most = Math.floor(bankBytes / expertBytes);
  if (most === 0) {
    throw new AdapterError(`one expert takes ${expertBytes} bytes, but this adapter binds at most ${bankBytes} bytes at once; use a narrower weight type or another adapter`);
  }
  const numBanks = Math.ceil(numExperts / most);
  const expertsPerBank = Math.ceil(numExperts / numBanks);
  return { numExperts, expertBytes, expertsPerBank, numBanks: Math.ceil(numExperts / expertsPerBank) };
}

/** Bytes of the complete experts of one layer. */
export const layerBytes = (layout: BankLayout): number => layout.numExperts * layout.expertBytes;

/** Buffers for the complete experts of one layer, labelled `<label>bank <b>`. */
export function createBanks(create: CreateBuffer, label: string, layout: BankLayout): GPUBuffer[] {
  return Array.from({ length: layout.numBanks }, (_, bank) => {
    const experts = Math.min(layout.expertsPerBank, layout.numExperts - bank * layout.expertsPerBank);
    return create(`${label}bank ${bank}`, experts * layout.expertBytes, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
  });
}

/** Consecutive experts that stand in one bank and move in one go. */
export interface Piece {
  readonly first: number;
  readonly count: number;
  readonly bank: number;
  /** Where the piece begins in its bank, bytes. */
  readonly bankOffset: number;
  readonly bytes: number;
}

/** Cuts a range of experts at the borders of banks and of `pieceBytes` (at least one expert a piece). */
export function cutPieces(range: ExpertRange, layout: BankLayout, pieceBytes: number): Piece[] {
  const most = Math.max(1, Math.floor(pieceBytes / layout.expertBytes));
  const end = range.first + range.count;
  const pieces: Piece[] = [];
  for (let first = range.first; first < end; ) {
    const bank = Math.floor(first / layout.expertsPerBank);
    const count = Math.min(most, end - first, (bank + 1) * layout.expertsPerBank - first);
    const bankOffset = (first - bank * layout.expertsPerBank) * layout.expertBytes;
    pieces.push({ first, count, bank, bankOffset, bytes: count * layout.expertBytes });
    first += count;
  }
  return pieces;
}
