import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Messenger } from '../../src/collective/messenger.ts';
import { partitionExperts } from '../../src/collective/partition.ts';
import type { ShardReader } from '../../src/collective/transport.ts';
import { WebSocketHost } from '../../src/collective/websocket/host.ts';
import { RankError } from '../../src/errors.ts';
import { failure, tag } from './messenger-contract.ts';
import { sampleGeometry, samplePack } from './sample-shards.ts';
import { TcpProxy } from './tcp-proxy.ts';
import { gatherLayer, member, openRing } from './websocket-worlds.ts';

const DEADLINE_MS = 600;

describe('a ring of four in which the link from rank 1 to rank 2 fails', () => {
  const geometry = sampleGeometry({ world: 4, numExperts: 8, expertBytes: 256 << 10 });
  let folder: string;
  let hosts: WebSocketHost[];
  let proxy: TcpProxy;
  let readers: ShardReader[][];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'asyncep-test-'));
    hosts = Array.from({ length: 4 }, (_, rank) => new WebSocketHost(member(rank, 4), { deadlineMs: DEADLINE_MS, folder }));
    const addresses = await Promise.all(hosts.map((host) => host.transport.publish(geometry, samplePack(geometry))));
    proxy = await TcpProxy.to(addresses[1] as string);
    readers = await Promise.all(hosts.map((host, rank) => Promise.all(addresses.map((address, peer) => host.transport.open(peer, rank === 2 && peer === 1 ? proxy.address : address, geometry)))));
    await Promise.all(hosts.map((host, rank) => gatherLayer({ host, readers: readers[rank]! }, geometry, 1)));
  });
  afterEach(async () => {
    proxy.close();
    await Promise.all(readers.flat().map((reader) => reader.close()));
    await Promise.all(hosts.map((host) => host.close()));
    await rm(folder, { recursive: true });
  });

  /** More than the two layers that may be under way: rank 1 gets all of those without rank 2. */
  const failuresOfAll = (): Promise<unknown[]> => Promise.all(hosts.map((host, rank) => failure((async () => {
    for (const layer of [2, 4, 1]) await gatherLayer({ host, readers: readers[rank]! }, geometry, layer);
  })())));
  /** Ends of a link can only name the other; who is told of both believes the first. Rank 2 alone is always the first to know. */
  const expectNamed = (errors: unknown[], problem: RegExp): void => {
    for (const error of errors) {
      expect(error).toBeInstanceOf(RankError);
      expect((error as RankError).message).toMatch(problem);
    }
    expect((errors[2] as RankError).rank).toBe(1);
    for (const rank of [0, 1, 3]) expect([1, 2]).toContain((errors[rank] as RankError).rank);
  };

  it('every rank learns at once that it was cut', async () => {
    proxy.cut();
    const start = performance.now();
    expectNamed(await failuresOfAll(), /^rank [12]: its link was cut: 1006/);
    expect(performance.now() - start).toBeLessThan(DEADLINE_MS / 2);
  });

  it('every rank learns within the deadline that it is silent', async () => {
    proxy.stall();
    const start = performance.now();
    expectNamed(await failuresOfAll(), /^rank [12]: its link has been silent for 0\.[67] s$/);
    expect(performance.now() - start).toBeLessThan(2 * DEADLINE_MS);
  });

  it('later reads fail with the same error', async () => {
    proxy.cut();
    const [first] = await failuresOfAll();
    await expect(readers[0]![1]!.read(4, 2, 2, new Uint8Array(2 * geometry.expertBytes))).rejects.toBe(first);
  });
});

describe('a ring', () => {
  const geometry = sampleGeometry({ world: 3, numExperts: 6, expertBytes: 512 << 10, layers: [0, 1, 2, 3, 4, 5] });

  it('holds two layers of others at most, however far a rank reads ahead of one that does not', async () => {
    const ring = await openRing(geometry);
    const [eager, ...slow] = ring.ranks;
    const ahead = geometry.layers.map((layer) => gatherLayer(eager!, geometry, layer));
    await new Promise((resolve) => setTimeout(resolve, 150));
    const shard = 2 * geometry.expertBytes;
    // Only the predecessor's own shard of the first layer can have come, and waits here: nobody else takes part yet.
    expect(eager!.host.transport.transferred().receivedBytes).toBe(shard);
    await Promise.all([...ahead, ...slow.map(async (rank) => {
      for (const layer of geometry.layers) await gatherLayer(rank, geometry, layer);
    })]);
    for (const { host } of ring.ranks) {
      expect(host.transport.mostHeldBytes).toBeLessThanOrEqual(2 * 2 * shard);
      expect(host.transport.transferred()).toEqual({ sentBytes: 12 * shard, receivedBytes: 12 * shard });
    }
    await ring.close();
  });

  it('whose ranks read in different orders says so', async () => {
    const ring = await openRing(geometry);
    const errors = await Promise.all(ring.ranks.map((rank, index) => failure(gatherLayer(rank, geometry, index === 1 ? 3 : 2))));
    await ring.close();
    // Rank 0 is asked by rank 1, and rank 1 by rank 2: whoever sees it first names its successor.
    for (const error of errors) expect((error as Error).message).toMatch(/^rank [12]: it reads layer [23] as gather 0, which is layer [23] here; expected the same order/);
  });

  it('refuses reads that cannot be matched', async () => {
    const ring = await openRing(geometry);
    const reader = ring.ranks[0]!.readers[1]!;
    const bytes = (experts: number): Uint8Array => new Uint8Array(experts * geometry.expertBytes);
    await expect(reader.read(0, 1, 2, bytes(2))).rejects.toThrow('experts 1 to 2 of layer 0 are not in the shard of rank 1');
    await expect(reader.read(9, 2, 1, bytes(1))).rejects.toThrow(RangeError);
    await expect(reader.read(0, 2, 2, bytes(1))).rejects.toThrow('2 experts take 1048576 bytes; the destination has 524288');
    void failure(reader.read(0, 2, 1, bytes(1)));
    await expect(reader.read(0, 2, 2, bytes(2))).rejects.toThrow('experts 2 to 3 of layer 0 have not been read equally often');
    expect(partitionExperts(6, 3)[1]).toEqual(reader.range);
    await ring.close();
  });

  it('fails reads that are under way when it is closed', async () => {
    const ring = await openRing(geometry);
    const waiting = failure(gatherLayer(ring.ranks[0]!, geometry, 0));
    await ring.ranks[0]!.host.close();
    expect((await waiting as Error).message).toBe('closed');
    await ring.close();
  });
});

describe('messages over a link that fails', () => {
  let hosts: WebSocketHost[];
  let proxies: TcpProxy[];
  let messengers: Messenger[];
  /** Everything between ranks 0 and 1 goes through proxies; rank 2 has links of its own. */
  beforeEach(async () => {
    hosts = [0, 1, 2].map((rank) => new WebSocketHost(member(rank, 3), { deadlineMs: DEADLINE_MS }));
    const addresses = await Promise.all(hosts.map((host) => host.listen()));
    proxies = await Promise.all([TcpProxy.to(addresses[0]!), TcpProxy.to(addresses[1]!)]);
    const seen = [[addresses[0]!, proxies[1]!.address, addresses[2]!], [proxies[0]!.address, addresses[1]!, addresses[2]!], addresses];
    messengers = await Promise.all(hosts.map((host, rank) => host.connect(seen[rank] as string[])));
  });
  afterEach(async () => {
    await Promise.all(hosts.map((host) => host.close()));
    for (const proxy of proxies) proxy.close();
  });
  const waits = (): Promise<unknown[]> => Promise.all([
    failure(messengers[0]!.receive(1, tag(1), new Uint8Array(8))),
    failure(messengers[0]!.send(1, tag(1), new Uint8Array(64 << 20))),
    failure(messengers[1]!.receive(0, tag(2), new Uint8Array(8))),
  ]);
  const othersGoOn = async (): Promise<void> => {
    await messengers[0]!.send(2, tag(5), Uint8Array.of(7));
    expect(await messengers[2]!.receive(0, tag(5), new Uint8Array(8))).toBe(1);
  };

  it('are given up at once when it is cut', async () => {
    const failed = waits();
    for (const proxy of proxies) proxy.cut();
    expect((await failed).map((error) => (error as Error).message)).toEqual([1, 1, 0].map((rank) => expect.stringMatching(`^rank ${rank}: its link was cut: 1006`)));
    await othersGoOn();
  });

  it('are given up within the deadline when it is silent', async () => {
    for (const proxy of proxies) proxy.stall();
    const start = performance.now();
    expect((await waits()).map((error) => (error as Error).message)).toEqual([1, 1, 0].map((rank) => expect.stringMatching(`^rank ${rank}: (its link has been silent for 0.[67] s|it gave up: .*silent.*)$`)));
    expect(performance.now() - start).toBeLessThan(2 * DEADLINE_MS);
    await othersGoOn();
  });

  it('survive a stall of the own event loop longer than the deadline', async () => {
    const end = performance.now() + 0.8 * DEADLINE_MS;
    const wait = messengers[0]!.receive(1, tag(1), new Uint8Array(8));
    for (let stall = 0; stall < 2; stall++) {
      while (performance.now() < end + stall * DEADLINE_MS);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await messengers[1]!.send(0, tag(1), Uint8Array.of(1));
    expect(await wait).toBe(1);
  });
});
