/**
 * Device memory of one rank: attention + own shard + first layer + two slots + workspace (paper section 2), computed from the
 * geometry and compared with what was allocated.
 */
import type { ExpertRange } from '../collective/partition.ts';
import { layerBytes } from './banks.ts';
import { planExperts, settingsOf, type StreamContext } from './context.ts';
import type { Strategy } from './index.ts';

/** A named part, bytes. */
export interface MemoryPart {
  readonly name: string;
  readonly bytes: number;
  /** How the labels of its buffers begin. */
  readonly labels: string;
  /** `host`: memory that the device reads from but that is not its own (on a real GPU). */
  readonly where: 'device' | 'host';
}

export interface MemoryRow {
  readonly name: string;
  readonly where: 'device' | 'host';
  readonly expectedBytes: number;
  readonly allocatedBytes: number;
}

type Geometry = Pick<StreamContext, 'geometry' | 'bankBytes' | 'rank' | 'settings'>;

/** The parts that hold experts, as `strategy` must allocate them; `host` parts are limits, not sums. */
export function expertMemory(strategy: Strategy, context: Geometry): MemoryPart[] {
  const plan = planExperts(context);
  const layer = layerBytes(plan.layout);
  if (strategy === 'resident') {
    return [{ name: 'all experts', labels: 'resident layer', where: 'device', bytes: context.geometry.layers.length * layer }];
  }
  const streamed = plan.streamedLayers.length;
  const own = (plan.shards[context.rank] as ExpertRange).count * context.geometry.expertBytes;
  const slots = streamed === 0 ? 0 : strategy === 'asyncep' ? 2 : 1;
  return [
    { name: 'first layer', labels: 'first layer', where: 'device', bytes: layer },
    { name: 'own shard', labels: 'own shard', where: 'device', bytes: streamed * own },
    { name: slots === 1 ? 'one slot' : 'two slots', labels: 'slot', where: 'device', bytes: slots * layer },
    { name: 'staging (at most)', labels: 'staging', where: 'host', bytes: stagingLimit(context, streamed === 0 ? 0 : layer - own) },
  ];
}

/** A layer's peers' bytes, rounded up to equal buffers, or what the setting allows, but always one piece. */
function stagingLimit(context: Geometry, peerBytes: number): number {
  if (peerBytes === 0) return 0;
  const { pieceBytes, stagingBytes } = settingsOf(context as StreamContext);
  const piece = Math.max(pieceBytes, context.geometry.expertBytes);
  const pieces = Math.ceil(peerBytes / context.geometry.expertBytes);
  return Math.max(piece, Math.min(stagingBytes, pieces * piece));
}

/** Sums the recorded buffers into the parts; what no part claims becomes the last row, "attention and workspace", expected as told. */
export function compareMemory(parts: readonly MemoryPart[], allocated: Iterable<readonly [label: string, bytes: number]>, engineBytes: number): MemoryRow[] {
  const sums = new Map<MemoryPart | null, number>();
  for (const [label, bytes] of allocated) {
    const part = parts.find(({ labels }) => label.startsWith(labels)) ?? null;
    sums.set(part, (sums.get(part) ?? 0) + bytes);
  }
  const rows: MemoryRow[] = parts.map((part) => ({
    name: part.name, where: part.where, expectedBytes: part.bytes, allocatedBytes: sums.get(part) ?? 0,
  }));
  return [...rows, { name: 'attention and workspace', where: 'device', expectedBytes: engineBytes, allocatedBytes: sums.get(null) ?? 0 }];
}

/** Whether every part is what it must be (host parts: at most). */
export const memoryIsAsPlanned = (rows: readonly MemoryRow[]): boolean =>
  rows.every(({ where, expectedBytes, allocatedBytes }) => (where === 'host' ? allocatedBytes <= expectedBytes : allocatedBytes === expectedBytes));
