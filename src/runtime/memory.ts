/** What was allocated on a device, by label: the other half of every memory figure that is printed, and what an allowance is held against. */
import { AllowanceError } from '../errors.ts';

/** Where bytes lie: `host` is memory that the device reads from or writes to but that is not its own (on a real GPU). */
export type MemoryPlace = 'device' | 'host';

/** The parts whose buffers the host maps: what passes between host and device. */
const HOST_PARTS: ReadonlySet<string> = new Set(['staging', 'loading', 'readback', 'inbox', 'outbox']);

/** Scratch of the tuner, freed before the weights come: no part of what a model takes. */
const SCRATCH_PART = 'measure';

/** The part that a label belongs to: what stands before the first `/`. */
const partOf = (label: string): string => label.split('/')[0] as string;

/** Where the buffers of a part lie; the one place that says so. */
export const placeOf = (part: string): MemoryPlace => (HOST_PARTS.has(part) ? 'host' : 'device');

const countsAgainstAllowance = (part: string): boolean => placeOf(part) === 'device' && part !== SCRATCH_PART;

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(2)} MiB`;

export class MemoryLedger {
  private readonly live = new Map<GPUBuffer, { label: string; bytes: number }>();
  private highest = 0;
  private total = 0;
  private counted = 0;

  /** @param limitBytes the device memory allowance: most bytes that parts on the device may take together */
  constructor(readonly limitBytes = Infinity) {}

  /**
   * Asks before an allocation.
   * @throws AllowanceError when it would be exceeded: what was asked for, what is taken and by which parts, and what to do
   */
  admit(label: string, bytes: number): void {
    if (!countsAgainstAllowance(partOf(label)) || this.counted + bytes <= this.limitBytes) return;
    const taken = Object.entries(this.byPart()).filter(([part]) => countsAgainstAllowance(part)).sort((a, b) => b[1] - a[1]);
    const parts = taken.length === 0 ? '' : ` (${taken.map(([part, size]) => `${part} ${mib(size)}`).join(', ')})`;
    throw new AllowanceError(
      `the device memory allowance is ${mib(this.limitBytes)}, of which ${mib(this.counted)} are taken${parts}; ${label} asks for ${mib(bytes)} more: ` +
      'keep experts in host memory (--offload 1), share them among more ranks, take fewer tokens at a time (--batch-tokens, --kv none), or allow more',
    );
  }

  record(buffer: GPUBuffer, label: string, bytes: number): void {
    this.live.set(buffer, { label, bytes });
    this.add(label, bytes);
    this.highest = Math.max(this.highest, this.total);
  }

  release(buffer: GPUBuffer): void {
    const entry = this.live.get(buffer);
    if (entry) this.add(entry.label, -entry.bytes);
    this.live.delete(buffer);
  }

  private add(label: string, bytes: number): void {
    this.total += bytes;
    if (countsAgainstAllowance(partOf(label))) this.counted += bytes;
  }

  /** Bytes allocated now. */
  get bytes(): number {
    return this.total;
  }

  /** Bytes of them that count against the allowance. */
  get countedBytes(): number {
    return this.counted;
  }

  /** Most bytes that were allocated at one time. */
  get peakBytes(): number {
    return this.highest;
  }

  /** Bytes by part. */
  byPart(): Record<string, number> {
    const parts: Record<string, number> = {};
    for (const { label, bytes } of this.live.values()) {
      const part = partOf(label);
      parts[part] = (parts[part] ?? 0) + bytes;
    }
    return parts;
  }
}
