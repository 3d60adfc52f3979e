/**
 * Collective operations over any messenger. Every rank of the world calls the same operation with the same tag; operations under way at the
 * same time have different ones.
 *
 * All but `broadcast` go directly between each pair of ranks, at the same time with all peers, beginning with the next one: the bytes are those of a
 * ring (the formulas at each operation are per rank, P ranks, and exact), in one latency instead of P - 1, and sums can have one order everywhere.
 * Transports cut messages into pieces, so that a byte is on its way out while the next is being read.
 */
import { partition, startsOf, type IndexRange } from '../model/shard.ts';
import type { Messenger, Tag, TransferCount } from './messenger.ts';
import { Operation, type Traffic } from './operation.ts';
import { BlockPool, asBytes, blocksOf, sumBlock } from './reduce.ts';

export const OPERATIONS = ['exchange', 'allGather', 'reduceScatter', 'allReduce', 'allToAllV', 'broadcast', 'sendRecv', 'barrier'] as const;
export type OperationName = (typeof OPERATIONS)[number];
export type OperationCounts = Readonly<Record<OperationName, TransferCount>>;

/** A part for (or from) each rank, by rank; null where no message goes. */
export type Parts = readonly (Uint8Array | null)[];

/** Runs `send` when it may; ends when it has ended. */
export type InTurn = (send: () => Promise<void>) => Promise<void>;

interface ExchangeOptions {
  /** Parts must fill their places. */
  readonly exactly?: boolean;
  readonly inTurn?: InTurn | undefined;
}

/** A message of a reducing or relaying operation: what is summed or handed on while the next is under way. Holds several of a transport's pieces. */
const BLOCK_BYTES = 4 << 20;
/** Blocks to one peer: while one is written, the next may be read by the peer. */
const BLOCKS_UNDER_WAY = 2;

export class Collectives {
  readonly rank: number;
  readonly world: number;
  readonly #blocks = new BlockPool(BLOCK_BYTES);
  readonly #traffic: Record<OperationName, Traffic>;

  constructor(private readonly messenger: Messenger) {
    this.rank = messenger.rank;
    this.world = messenger.world;
    this.#traffic = Object.fromEntries(OPERATIONS.map((name) => [name, { sentBytes: 0, receivedBytes: 0 }])) as Record<OperationName, Traffic>;
  }

  /** Payload bytes since the start, by operation. */
  counts(): OperationCounts {
    return structuredClone(this.#traffic);
  }

  #operation(name: OperationName, tag: Tag): Operation {
    return new Operation(this.messenger, tag, this.#traffic[name]);
  }

  /** The other ranks in the order in which this one serves them: no two ranks begin with the same. */
  #peers(): number[] {
    return Array.from({ length: this.world - 1 }, (_, step) => (this.rank + step + 1) % this.world);
  }

  /**
   * Every rank sends a part to every rank and receives one of unknown length, up to that of `into`. Where a rank passes null as a part, nothing
   * is sent, and the rank it would go to must pass null in `into`; the own part is copied unless either is null.
   * Sends the sum of the other ranks' parts.
   * @param inTurn decides when the sends begin, where exchanges under way at the same time should not share the link; receives begin at once
   * @returns the length of the part from each rank (0 for null)
   * @throws RankError naming the rank whose part is longer than its `into`, or which cannot be reached
   */
  exchange(tag: Tag, parts: Parts, into: Parts, inTurn?: InTurn): Promise<number[]> {
    return this.#exchange('exchange', tag, parts, into, { inTurn });
  }

  /** As {@link Collectives.exchange}, where every rank knows what is coming: parts fill `into`. @throws RankError naming the rank whose part does not */
  async allToAllV(tag: Tag, parts: Parts, into: Parts): Promise<void> {
    await this.#exchange('allToAllV', tag, parts, into, { exactly: true });
  }

  #exchange(name: OperationName, tag: Tag, parts: Parts, into: Parts, { exactly = false, inTurn = (send) => send() }: ExchangeOptions): Promise<number[]> {
    const operation = this.#operation(name, tag);
    return operation.run(async () => {
      if (parts.length !== this.world || into.length !== this.world) throw new RangeError(`${parts.length} parts and ${into.length} places for ${this.world} ranks`);
      const lengths = into.map((place) => place?.length ?? 0);
      lengths[this.rank] = copyOwn(parts[this.rank] ?? null, into[this.rank] ?? null);
      const receives = this.#peers().toReversed().map(async (peer) => {
        const place = into[peer] ?? null;
        if (place === null) return;
        if (exactly) await operation.receiveExactly(peer, place);
        else lengths[peer] = await operation.receive(peer, place);
      });
      const sends = inTurn(async () => {
        await Promise.all(this.#peers().map(async (peer) => {
          const part = parts[peer] ?? null;
          if (part !== null) await operation.send(peer, part);
        }));
      });
      await Promise.all([...receives, sends]);
      return lengths;
    });
  }

  /**
   * `into` = the ranks' `own`, one after the other; rank r's has `bytes[r]` bytes. `own` may be its place in `into`.
   * Sends (P - 1) bytes[rank]: S (P - 1) / P where all parts are equal and S = the bytes of `into`.
   */
  allGather(tag: Tag, own: Uint8Array, into: Uint8Array, bytes: readonly number[]): Promise<void> {
    const operation = this.#operation('allGather', tag);
    return operation.run(() => this.#allGather(operation, own, into, bytes));
  }

  async #allGather(operation: Operation, own: Uint8Array, into: Uint8Array, bytes: readonly number[]): Promise<void> {
    const starts = wholeOf(bytes, this.world, into.length);
    const place = (rank: number): Uint8Array => into.subarray(starts[rank], starts[rank + 1]);
    if (own.length !== bytes[this.rank]) throw new RangeError(`rank ${this.rank} gives ${own.length} bytes; ${bytes[this.rank]} were said`);
    const messages = this.#peers().flatMap((peer) => [operation.receiveExactly(peer, place(peer)), operation.send(peer, own)]);
    copyOwn(own, place(this.rank));
    await Promise.all(messages);
  }

  /**
   * Adds the ranks' `input` elementwise, in the order of ranks; `into` = the part that belongs to this rank. Rank r's part has `counts[r]` elements.
   * Sends 4 (elements of `input` - counts[rank]) bytes: S (P - 1) / P where all parts are equal and S = the bytes of `input`.
   * `into` may be its place in `input`.
   */
  reduceScatter(tag: Tag, input: Float32Array, into: Float32Array, counts: readonly number[]): Promise<void> {
    const operation = this.#operation('reduceScatter', tag);
    return operation.run(() => this.#reduceScatter(operation, input, into, counts));
  }

  async #reduceScatter(operation: Operation, input: Float32Array, into: Float32Array, counts: readonly number[]): Promise<void> {
    const starts = wholeOf(counts, this.world, input.length);
    const part = (rank: number): Float32Array => input.subarray(starts[rank], starts[rank + 1]);
    if (into.length !== counts[this.rank]) throw new RangeError(`rank ${this.rank} takes ${into.length} elements; ${counts[this.rank]} were said`);
    const sends = this.#peers().map(async (peer) => {
      const sent: Promise<void>[] = [];
      for (const block of blocksOf(part(peer), BLOCK_BYTES)) {
        await sent[sent.length - BLOCKS_UNDER_WAY];
        sent.push(operation.send(peer, asBytes(block)));
      }
      await Promise.all(sent);
    });
    await Promise.all([...sends, this.#sumParts(operation, part(this.rank), into)]);
  }

  /** Block by block, while the next one is coming. */
  async #sumParts(operation: Operation, own: Float32Array, into: Float32Array): Promise<void> {
    const [ownBlocks, sums] = [[...blocksOf(own, BLOCK_BYTES)], [...blocksOf(into, BLOCK_BYTES)]];
    const taken: Float32Array[] = [];
    const spaces = sums.slice(0, 2).map(() => Array.from({ length: this.world }, (_, rank) => {
      if (rank === this.rank) return own;
      taken.push(this.#blocks.take());
      return taken.at(-1) as Float32Array;
    }));
    const coming = async (n: number): Promise<Float32Array[]> => {
      const blocks = (spaces[n % 2] as Float32Array[]).map((space) => space.subarray(0, sums[n]?.length));
      await Promise.all(this.#peers().map((peer) => operation.receiveExactly(peer, asBytes(blocks[peer] as Float32Array))));
      blocks[this.rank] = ownBlocks[n] as Float32Array;
      return blocks;
    };
    if (sums.length === 0) return;
    let next = coming(0);
    for (const [n, sum] of sums.entries()) {
      const blocks = await next;
      next = n + 1 < sums.length ? coming(n + 1) : Promise.resolve([]);
      next.catch(() => undefined); // the operation knows
      sumBlock(blocks, sum);
    }
    this.#blocks.give(taken); // not after a failure: something may still be coming
  }

  /**
   * `data` = the sum of all ranks' `data`, in the order of ranks, the same to the last bit on every rank.
   * Sends what reduceScatter and allGather of equal parts do: 2 S (P - 1) / P.
   */
  allReduce(tag: Tag, data: Float32Array): Promise<void> {
    const operation = this.#operation('allReduce', tag);
    const parts = partition(data.length, this.world);
    const counts = parts.map(({ count }) => count);
    const { first, count } = parts[this.rank] as IndexRange;
    const own = data.subarray(first, first + count);
    return operation.run(async () => {
      await this.#reduceScatter(operation, data, own, counts);
      await this.#allGather(operation, asBytes(own), asBytes(data), counts.map((count) => 4 * count));
    });
  }

  /** `data` = that of `root`. Handed from rank to rank in blocks: every rank but the last in line sends S. */
  broadcast(tag: Tag, root: number, data: Uint8Array): Promise<void> {
    const operation = this.#operation('broadcast', tag);
    const [previous, next] = [(this.rank + this.world - 1) % this.world, (this.rank + 1) % this.world];
    return operation.run(async () => {
      if (root < 0 || root >= this.world) throw new RangeError(`${this.world} ranks have no rank ${root}`);
      let sent = Promise.resolve();
      for (const block of blocksOf(data, BLOCK_BYTES)) {
        if (this.rank !== root) await operation.receiveExactly(previous, block);
        await sent;
        if (next !== root) sent = operation.send(next, block);
      }
      await sent;
    });
  }

  /** Sends `bytes` to `peer`, which calls {@link Collectives.recv}. */
  send(tag: Tag, peer: number, bytes: Uint8Array): Promise<void> {
    const operation = this.#operation('sendRecv', tag);
    return operation.run(() => operation.send(peer, bytes));
  }

  /** @returns how many bytes came */
  recv(tag: Tag, peer: number, into: Uint8Array): Promise<number> {
    const operation = this.#operation('sendRecv', tag);
    return operation.run(() => operation.receive(peer, into));
  }

  /** Resolves when every rank has called it. ceil(log2 P) rounds of empty messages: after round k a rank has heard of 2^(k+1) - 1 others. */
  barrier(tag: Tag): Promise<void> {
    const operation = this.#operation('barrier', tag);
    return operation.run(async () => {
      for (let distance = 1; distance < this.world; distance *= 2) {
        await Promise.all([
          operation.send((this.rank + distance) % this.world, new Uint8Array(0)),
          operation.receiveExactly((this.rank + this.world - distance) % this.world, new Uint8Array(0)),
        ]);
      }
    });
  }
}

/** Where each rank's part begins, and the end. @throws RangeError when the parts are not the whole */
function wholeOf(sizes: readonly number[], world: number, whole: number): number[] {
  const starts = startsOf(sizes);
  if (sizes.length !== world || starts[world] !== whole) throw new RangeError(`parts of [${sizes.join(', ')}] for ${world} ranks and ${whole} in all`);
  return starts;
}

/** @returns the bytes copied */
function copyOwn(from: Uint8Array | null, to: Uint8Array | null): number {
  if (from === null || to === null) return 0;
  if (from.length > to.length) throw new RangeError(`the own part has ${from.length} bytes; there is room for ${to.length}`);
  const inPlace = from.buffer === to.buffer && from.byteOffset === to.byteOffset;
  if (!inPlace) to.set(from);
  return from.length;
}
