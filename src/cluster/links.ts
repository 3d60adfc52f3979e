/** How one rank's bytes come to its peers, and theirs to it: made from its setup. */
import { Port } from '../collective/link.ts';
import type { MessengerHost } from '../collective/messenger.ts';
import { shapedReader } from '../collective/shaped-reader.ts';
import { SharedMemoryTransport } from '../collective/shared-memory.ts';
import { SharedMemoryHost } from '../collective/shared-memory-messenger.ts';
import type { ShardReader, Transport } from '../collective/transport.ts';
import { WebSocketHost } from '../collective/websocket/host.ts';
import { RankError, SegmentError } from '../errors.ts';
import type { RankSetup } from './messages.ts';

/** A rank's ways out. */
export interface RankLinks {
  /** Of experts. */
  readonly weights: Transport;
  /** Of activations. */
  readonly messages: MessengerHost;
}

/**
 * @param shard which part of the geometry this rank publishes
 * @param local what is published is read by this rank alone
 */
export function openLinks(setup: RankSetup, { shard, local }: { readonly shard: number; readonly local: boolean }): RankLinks {
  const { rank, world, runId, token, deadlineMs, link, listen, tls } = setup;
  const port = link === null ? undefined : new Port(link);
  const membership = { runId, rank, world, token };
  const options = { deadlineMs, ...(port && { port }) };
  const segments = blamingOwners(new SharedMemoryTransport(rank, runId, undefined, shard));
  if (setup.transport === 'shared-memory') return { weights: shaped(segments, port), messages: new SharedMemoryHost(membership, options) };
  const host = new WebSocketHost(membership, { ...options, host: listen, ...(tls && { tls }) });
  return { weights: local ? segments : host.transport, messages: host };
}

/** Peers' shards are read through the port, the own one is not on the link. */
function shaped(transport: Transport, port: Port | undefined): Transport {
  if (port === undefined) return transport;
  return {
    rank: transport.rank,
    publish: (geometry, pack) => transport.publish(geometry, pack),
    open: async (peer, address, geometry) => {
      const reader = await transport.open(peer, address, geometry);
      return peer === transport.rank || geometry.world === 1 ? reader : shapedReader(reader, port);
    },
    close: () => transport.close(),
  };
}

/** A segment that cannot be read is the fault of the rank that published it, not of the one that finds out. */
function blamingOwners(transport: Transport): Transport {
  return {
    rank: transport.rank,
    publish: (geometry, pack) => transport.publish(geometry, pack),
    open: async (peer, address, geometry) => {
      // What a world of one reads is its own.
      const owner = geometry.world === 1 ? transport.rank : peer;
      const blame = (error: unknown): never => {
        throw error instanceof SegmentError ? new RankError(owner, error.message) : error;
      };
      const reader: ShardReader = await transport.open(peer, address, geometry).catch(blame);
      return {
        rank: reader.rank, range: reader.range, close: () => reader.close(),
        read: (layer, first, count, into) => reader.read(layer, first, count, into).catch(blame),
      };
    },
    close: () => transport.close(),
  };
}
