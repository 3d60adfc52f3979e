/**
 * Device memory of one rank: attention + own shard + first layer + two slots + workspace (paper section 2), computed from the
 * geometry and compared with what was allocated. With offload of k layers: attention + first layer + k + 1 slots + workspace.
 */
import type { ExpertRange } from '../collective/partition.ts';
import { placeOf, type MemoryPlace } from '../runtime/memory.ts';
import { layerBytes } from './banks.ts';
import { planExperts, settingsOf, type StreamContext } from './context.ts';
import { COPY_CLOCK_BYTES } from './copy-clock.ts';
import type { StreamStrategy } from './index.ts';
import { aheadShape, offloads } from './offload.ts';

/** A part; its name is what the labels of its buffers begin with (`name/...`). */
export interface MemoryPart {
  readonly name: string;
  readonly bytes: number;
  /** See {@link placeOf}. */
  readonly where: MemoryPlace;
}

export interface MemoryRow {
  readonly name: string;
  readonly where: MemoryPlace;
  readonly expectedBytes: number;
  readonly allocatedBytes: number;
}

type Geometry = Pick<StreamContext, 'geometry' | 'bankBytes' | 'rank' | 'settings'>;

/** A part where the ledger has it. */
const part = (name: string, bytes: number): MemoryPart => ({ name, bytes, where: placeOf(name) });

/**
 * The parts that hold experts, and what moving them takes, as `strategy` must allocate them; `host` parts are limits, not sums.
 * `timeCopies` is to be set only where the device has timestamps.
 */
export function expertMemory(strategy: StreamStrategy, context: Geometry): MemoryPart[] {
  const plan = planExperts(context);
  const layer = layerBytes(plan.layout);
  if (strategy === 'resident') {
    return [part('all experts', context.geometry.layers.length * layer)];
  }
  const streamed = plan.streamedLayers.length;
  const own = offloads(context) ? 0 : (plan.shards[context.rank] as ExpertRange).count * context.geometry.expertBytes;
  const slots = streamed === 0 ? 0 : strategy === 'asyncep' ? aheadShape(context, plan).slots : 1;
  return [
    part('first layer', plan.firstLayer === undefined ? 0 : layer),
    ...(offloads(context) ? [] : [part('own shard', streamed * own)]),
    part('slots', slots * layer),
    ...(settingsOf(context).timeCopies ? [part('copy times', COPY_CLOCK_BYTES)] : []),
    part('staging', stagingLimit(context, streamed === 0 ? 0 : layer - own)),
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
    ...unknown.map((name) => ({ name, where: placeOf(name), expectedBytes: 0, allocatedBytes: allocated[name] as number })),
  ];
}

/** Whether every part is what it must be (host parts: at most). */
export const memoryIsAsPlanned = (rows: readonly MemoryRow[]): boolean =>
  rows.every(({ where, expectedBytes, allocatedBytes }) => (where === 'host' ? allocatedBytes <= expectedBytes : allocatedBytes === expectedBytes));
