/** What was allocated on a device, by label: the other half of every memory figure that is printed. */
export class MemoryLedger {
  private readonly live = new Map<GPUBuffer, { label: string; bytes: number }>();
  private highest = 0;
  private total = 0;

  record(buffer: GPUBuffer, label: string, bytes: number): void {
    this.live.set(buffer, { label, bytes });
    this.total += bytes;
    this.highest = Math.max(this.highest, this.total);
  }

  release(buffer: GPUBuffer): void {
    this.total -= this.live.get(buffer)?.bytes ?? 0;
    this.live.delete(buffer);
  }

  /** Bytes allocated now. */
  get bytes(): number {
    return this.total;
  }

  /** Most bytes that were allocated at one time. */
  get peakBytes(): number {
    return this.highest;
  }

  /** Bytes by label prefix (the part before the first `/`). */
  byPart(): Record<string, number> {
    const parts: Record<string, number> = {};
    for (const { label, bytes } of this.live.values()) {
      const part = label.split('/')[0] ?? label;
      parts[part] = (parts[part] ?? 0) + bytes;
    }
    return parts;
  }
}
