/**
 * Device memory of one rank: attention + own shard + first layer + two slots + workspace (paper section 2), computed from the
 * geometry and compared with what was allocated. With offload of k layers: attention + first layer + k + 1 slots + workspace.
 */
import type { ExpertRange } from '../collective/partition.ts';
import { layerBytes } from './banks.ts';
import { planExperts, settingsOf, type StreamContext } from './context.ts';
import type { Strategy } from './index.ts';
import { aheadShape, offloads } from './offload.ts';

/** A part; its name is what the labels of its buffers begin with (`name/...`). */
export interface MemoryPart {
  readonly name: string;
  readonly bytes: number;
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
    return [{ name: 'all experts', where: 'device', bytes: context.geometry.layers.length * layer }];
  }
  const streamed = plan.streamedLayers.length;
  const own = offloads(context) ? 0 : (plan.shards[context.rank] as ExpertRange).count * context.geometry.expertBytes;
  const slots = streamed === 0 ? 0 : strategy === 'asyncep' ? aheadShape(context, plan).slots : 1;
  return [
    { name: 'first layer', where: 'device', bytes: layer },
    ...(offloads(context) ? [] : [{ name: 'own shard', where: 'device' as const, bytes: streamed * own }]),
    { name: 'slots', where: 'device', bytes: slots * layer },
    { name: 'staging', where: 'host', bytes: stagingLimit(context, streamed === 0 ? 0 : layer - own) },
  ];
}

/** The bytes of a layer that pass host memory, rounded up to equal buffers, or what the setting allows, but always one piece. */
function stagingLimit(context: Geometry, readBytes: number): number {
  if (readBytes === 0) return 0;
  const { pieceBytes, stagingBytes } = settingsOf(context);
  const piece = Math.max(pieceBytes, context.geometry.expertBytes);
  const pieces = Math.ceil(readBytes / context.geometry.expertBytes);
  return Math.max(piece, Math.min(stagingBytes, pieces * piece));
}

/**
 * Sets expected beside allocated bytes. Parts that nobody expected stand at the end, expected 0.
 * @param allocated bytes by part, as the device's ledger has them
 */
export function compareMemory(parts: readonly MemoryPart[], allocated: Readonly<Record<string, number>>): MemoryRow[] {
  const known = new Set(parts.map(({ name }) => name));
  const unknown = Object.keys(allocated).filter((name) => !known.has(name));
  return [
    ...parts.map(({ name, where, bytes }) => ({ name, where, expectedBytes: bytes, allocatedBytes: allocated[name] ?? 0 })),
    ...unknown.map((name) => ({ name, where: 'device' as const, expectedBytes: 0, allocatedBytes: allocated[name] as number })),
  ];
}

/** Whether every part is what it must be (host parts: at most). */
export const memoryIsAsPlanned = (rows: readonly MemoryRow[]): boolean =>
  rows.every(({ where, expectedBytes, allocatedBytes }) => (where === 'host' ? allocatedBytes <= expectedBytes : allocatedBytes === expectedBytes));
