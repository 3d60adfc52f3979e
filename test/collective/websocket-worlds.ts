/** Worlds of ranks joined by WebSockets in one process, and rings over them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { partitionExperts } from '../../src/collective/partition.ts';
import type { Membership } from '../../src/collective/messenger.ts';
import type { ShardGeometry, ShardReader } from '../../src/collective/transport.ts';
import { WebSocketHost, type WebSocketOptions } from '../../src/collective/websocket/host.ts';
import { samplePack, sampleRun } from './sample-shards.ts';
import { connectAll, PATIENT, type OpenWorld } from './worlds.ts';

export const member = (rank: number, world: number, over: Partial<Membership> = {}): Membership => ({ runId: 'sockets', rank, world, token: 'secret', ...over });

export const webSockets: OpenWorld = (world, options = PATIENT) =>
  connectAll(Array.from({ length: world }, (_, rank) => new WebSocketHost(member(rank, world), options)));

export interface RingRank {
  readonly host: WebSocketHost;
  /** By owner. */
  readonly readers: readonly ShardReader[];
}

export interface RingWorld {
  readonly ranks: readonly RingRank[];
  close(): Promise<void>;
}

/** Every rank publishes the sample experts and opens the shards of all. */
export async function openRing(geometry: ShardGeometry, options: Partial<WebSocketOptions> = {}, runId = 'ring'): Promise<RingWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'asyncep-test-'));
  const hosts = Array.from({ length: geometry.world }, (_, rank) => new WebSocketHost(member(rank, geometry.world, { runId }), { ...PATIENT, folder, ...options }));
  const addresses = await Promise.all(hosts.map((host) => host.transport.publish(geometry, samplePack(geometry))));
  const ranks = await Promise.all(hosts.map(async (host) => ({
    host, readers: await Promise.all(addresses.map((address, peer) => host.transport.open(peer, address, geometry))),
  })));
  const close = async (): Promise<void> => {
    for (const { readers } of ranks) for (const reader of readers) await reader.close();
    await Promise.all(hosts.map((host) => host.close()));
    await rm(folder, { recursive: true });
  };
  return { ranks, close };
}

/** Reads a layer of every peer, as much at a time as `pieces` says, and returns the whole layer (own part included). */
export async function gatherLayer({ readers, host }: RingRank, geometry: ShardGeometry, layer: number, pieces = Infinity): Promise<Uint8Array> {
  const out = new Uint8Array(geometry.numExperts * geometry.expertBytes);
  const shards = partitionExperts(geometry.numExperts, geometry.world);
  const reads = shards.flatMap(({ first, count }, owner) => {
    const starts = Array.from({ length: Math.ceil(count / Math.min(pieces, count)) }, (_, i) => first + i * Math.min(pieces, count));
    return starts.map((start) => {
      const experts = Math.min(pieces, first + count - start);
      const into = out.subarray(start * geometry.expertBytes, (start + experts) * geometry.expertBytes);
      return owner === host.transport.rank ? into.set(sampleRun(geometry, layer, start, experts)) : readers[owner]!.read(layer, start, experts, into);
    });
  });
  await Promise.all(reads);
  return out;
}
