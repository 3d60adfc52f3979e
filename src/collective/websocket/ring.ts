/**
 * The ring AllGather of weights, driven by reads. All ranks read the same layers in the same order; the first read of a layer makes a
 * *gather*, numbered in that order. A rank wants each gather from its predecessor, which sends its own shard and hands on those of others:
 * rank r gets the shards of r-1, r-2, ..., r+1, so that everyone sends (n-1)/n of a layer. At most two gathers are wanted and not
 * finished - come, read, and handed on - which bounds what a rank holds.
 */
import { AsyncepError, RankError } from '../../errors.ts';
import { LINK_CHUNK_BYTES, type Port } from '../link.ts';
import { partitionExperts, type ExpertRange } from '../partition.ts';
import type { ShardGeometry, ShardReader } from '../transport.ts';
import type { Chunk, ChunkPool } from './chunk-pool.ts';
import { CLOSE, LinkError, errorOfEnd, farewellEnd, faultOfEnd, type LinkEnd } from './close.ts';
import { MAX_PAYLOAD_BYTES, type FrameHeader } from './frame.ts';
import { Gather } from './gather.ts';
import type { InboundLink } from './inbound-link.ts';
import type { OutboundLink } from './outbound-link.ts';
import { OwnChunks } from './own-chunks.ts';
import { MAX_WANTED, RingServer } from './ring-server.ts';

export class Ring {
  readonly shards: readonly ExpertRange[];
  readonly #shardBytes: readonly number[];
  /** In the order in which their shards come. */
  readonly #origins: readonly number[];
  readonly #own: OwnChunks;
  /** Not finished, by number. */
  readonly #gathers = new Map<number, Gather>();
  /** The same by layer and occurrence of the layer. */
  readonly #occurrences = new Map<string, Gather>();
  readonly #gathersOfLayer = new Map<number, number>();
  readonly #readsOfExpert = new Map<string, number>();
  #created = 0;
  #wanted = 0;
  #finished = 0;
  /** The gather that comes in. */
  #incoming = 0;
  #receivedBytes = 0;
  #predecessor: InboundLink | null = null;
  #successor: OutboundLink | null = null;
  #server: RingServer | null = null;
  #successorLeft = false;
  #failure: Error | null = null;
  readonly #awaitGather = new Map<number, (gather: Gather | null) => void>();

  constructor(
    private readonly rank: number,
    private readonly geometry: ShardGeometry,
    own: ShardReader,
    private readonly pool: ChunkPool,
    private readonly port: Port | undefined,
  ) {
    const { world, numExperts, expertBytes } = geometry;
    this.shards = partitionExperts(numExperts, world);
    this.#shardBytes = this.shards.map(({ count }) => count * expertBytes);
    this.#origins = Array.from({ length: world - 1 }, (_, step) => (rank - 1 - step + world) % world);
    this.#own = new OwnChunks(own, expertBytes, port === undefined ? MAX_PAYLOAD_BYTES : LINK_CHUNK_BYTES);
  }

  /** Why a connection from the successor is no use any more; null while it is awaited. */
  get gone(): string | null {
    return this.#successor === null && this.#failure === null ? null : 'the successor was here before';
  }

  get sentBytes(): number {
    return this.#successor?.sentBytes ?? 0;
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** The most bytes of payloads that this rank held at a time. */
  get mostHeldBytes(): number {
    return this.pool.mostHeldBytes;
  }

  setPredecessor(link: InboundLink): void {
    this.#predecessor = link;
    void link.ended.then((end) => this.#predecessorLeft(link.peer, end));
    this.#pump();
  }

  /** The successor has connected; from now on it is served. */
  setSuccessor(link: OutboundLink): void {
    this.#successor = link;
    this.#server = new RingServer(link, {
      rank: this.rank, layers: this.geometry.layers, shardBytes: this.#shardBytes, own: this.#own, port: this.port,
      gatherAt: (index) => this.#gatherAt(index),
      progress: () => this.#pump(),
    });
    this.#server.run().catch((error: Error) => this.fail(error));
    void link.ended.then((end) => this.#successorEnded(link.peer, end));
  }

  /** Reads from a peer's shard, as {@link ShardReader.read}. */
  async read(origin: number, layer: number, first: number, count: number, into: Uint8Array): Promise<void> {
    const { first: start, count: owned } = this.shards[origin] as ExpertRange;
    const { expertBytes, layers } = this.geometry;
    if (!layers.includes(layer) || first < start || first + count > start + owned) {
      throw new RangeError(`experts ${first} to ${first + count - 1} of layer ${layer} are not in the shard of rank ${origin}`);
    }
    if (into.length !== count * expertBytes) throw new RangeError(`${count} experts take ${count * expertBytes} bytes; the destination has ${into.length}`);
    if (this.#failure !== null) throw this.#failure;
    const gather = this.#gatherOf(layer, this.#countRead(layer, first, count));
    const read = gather.read(origin, (first - start) * expertBytes, into);
    this.#pump();
    const hereMs = await read;
    this.#pump();
    await this.port?.until(hereMs);
  }

  /** How often these experts were read before. */
  #countRead(layer: number, first: number, count: number): number {
    const keys = Array.from({ length: count }, (_, e) => `${layer}/${first + e}`);
    const before = this.#readsOfExpert.get(keys[0] as string) ?? 0;
    if (keys.some((key) => (this.#readsOfExpert.get(key) ?? 0) !== before)) {
      throw new RangeError(`experts ${first} to ${first + count - 1} of layer ${layer} have not been read equally often`);
    }
    for (const key of keys) this.#readsOfExpert.set(key, before + 1);
    return before;
  }

  #gatherOf(layer: number, occurrence: number): Gather {
    const known = this.#occurrences.get(`${layer}/${occurrence}`);
    if (known !== undefined) return known;
    const gather = new Gather(this.#created++, layer, this.#origins.map((origin) => ({ origin, totalBytes: this.#shardBytes[origin] as number })));
    const times = this.#gathersOfLayer.get(layer) ?? 0;
    this.#gathersOfLayer.set(layer, times + 1);
    this.#gathers.set(gather.index, gather);
    this.#occurrences.set(`${layer}/${times}`, gather);
    if (this.#successorLeft) gather.dropForward();
    this.#awaitGather.get(gather.index)?.(gather);
    this.#awaitGather.delete(gather.index);
    return gather;
  }

  #gatherAt(index: number): Promise<Gather | null> {
    const known = this.#gathers.get(index);
    // What is finished has been handed on.
    if (known !== undefined || this.#failure !== null || this.#successorLeft || index < this.#created) return Promise.resolve(known ?? null);
    return new Promise((resolve) => void this.#awaitGather.set(index, resolve));
  }

  /** Does all that may be done now; called whenever something has changed. */
  #pump(): void {
    if (this.#failure !== null) return;
    for (let done = this.#gathers.get(this.#finished); done?.finished === true; done = this.#gathers.get(this.#finished)) this.#forget(done);
    for (; this.#predecessor !== null && this.#wanted < Math.min(this.#created, this.#finished + MAX_WANTED); this.#wanted++) {
      this.#predecessor.control({ type: 'want', gather: this.#wanted, layer: (this.#gathers.get(this.#wanted) as Gather).layer });
    }
    this.#compareOrder();
  }

  #forget(gather: Gather): void {
    this.#gathers.delete(gather.index);
    const occurrence = [...this.#occurrences].find(([, other]) => other === gather);
    if (occurrence !== undefined) this.#occurrences.delete(occurrence[0]);
    this.#finished++;
  }

  /** Ranks that read in different orders would wait for each other for ever. */
  #compareOrder(): void {
    for (const { index, layer } of this.#gathers.values()) {
      const theirs = this.#server?.layerAt(index);
      if (theirs === undefined || theirs === layer) continue;
      this.fail(new RankError((this.#successor as OutboundLink).peer, `it reads layer ${theirs} as gather ${index}, which is layer ${layer} here; expected the same order on all ranks`));
      return;
    }
  }

  /** @throws LinkError when this is not the frame that must come next */
  expect({ kind, origin, pass, layer, offsetBytes, totalBytes }: FrameHeader): void {
    const gather = this.#incoming < this.#wanted ? this.#gathers.get(this.#incoming) : undefined;
    const next = gather?.next;
    if (gather === undefined || !next) throw new LinkError(CLOSE.badFrame, 'weights: nothing was wanted');
    const found = { kind, gather: pass, layer, origin, offset: offsetBytes, total: totalBytes };
    const due = { kind: 'weights', gather: gather.index, layer: gather.layer, origin: next.origin, offset: next.offsetBytes, total: next.totalBytes };
    for (const field of ['kind', 'gather', 'layer', 'origin', 'total', 'offset'] as const) {
      if (found[field] !== due[field]) throw new LinkError(CLOSE.badFrame, `weights: ${field} ${found[field]}; expected ${due[field]}`);
    }
  }

  /** The payload of the frame that was expected last. */
  frame({ origin, offsetBytes, crc }: FrameHeader, chunk: Chunk): void {
    const gather = this.#gathers.get(this.#incoming);
    if (gather === undefined) return chunk.release();
    this.#receivedBytes += chunk.bytes.length;
    gather.arrive({ origin, offsetBytes, crc, chunk, hereMs: this.port?.arrive(chunk.bytes.length) ?? -Infinity });
    if (gather.next === null) this.#incoming++;
    this.#pump();
  }

  #predecessorLeft(peer: number, end: LinkEnd): void {
    const isMissed = [...this.#gathers.values()].some((gather) => gather.next !== null);
    // What has come may still be read and handed on.
    if (end.code === CLOSE.goodbye && !isMissed) this.#failure ??= errorOfEnd(peer, end);
    else this.fail(faultOfEnd(peer, end));
  }

  #successorEnded(peer: number, end: LinkEnd): void {
    if (end.code !== CLOSE.goodbye) return this.fail(faultOfEnd(peer, end));
    this.#successorLeft = true;
    for (const gather of this.#gathers.values()) gather.dropForward();
    for (const resolve of this.#awaitGather.values()) resolve(null);
    this.#pump();
  }

  /** Every read fails with `error` from now on (the first one given), and the neighbours are told whose fault it is. */
  fail(error: Error): void {
    this.#end(error, error);
  }

  #end(error: Error, reason?: Error): void {
    this.#failure ??= error;
    for (const gather of this.#gathers.values()) gather.fail(this.#failure);
    for (const resolve of this.#awaitGather.values()) resolve(null);
    this.#predecessor?.close(farewellEnd(reason));
    this.#successor?.close(farewellEnd(reason));
  }

  /** Says goodbye to the neighbours. Reads that are under way fail. */
  close(): void {
    this.#end(new AsyncepError('closed'));
  }
}
