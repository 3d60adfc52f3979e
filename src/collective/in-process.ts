/** The transport inside one process, for tests and teaching: shards are arrays that every rank of the hub can see. */
import { partitionExperts, type ExpertRange } from './partition.ts';
import type { PackExpert, ShardGeometry, ShardReader, Transport } from './transport.ts';

interface PublishedShard {
  readonly range: ExpertRange;
  readonly expertBytes: number;
  /** Layer -> its experts, back to back. */
  readonly layers: Map<number, Uint8Array>;
}

/** The ranks of one in-process world meet here. */
export class InProcessHub {
  readonly #shards = new Map<string, PublishedShard>();

  transport(rank: number): Transport {
    const address = `in-process:${rank}`;
    return {
      rank,
      publish: async (geometry, pack) => {
        this.#shards.set(address, await packShard(geometry, rank, pack));
        return address;
      },
      open: async (peer, peerAddress) => this.#open(peer, peerAddress),
      close: async () => void this.#shards.delete(address),
    };
  }

  #open(rank: number, address: string): ShardReader {
    const shard = this.#shards.get(address);
    if (shard === undefined) throw new Error(`nothing was published at ${address}`);
    return {
      rank,
      range: shard.range,
      read: async (layer, first, count, into) => {
        const start = (first - shard.range.first) * shard.expertBytes;
        const bytes = shard.layers.get(layer)?.subarray(start, start + count * shard.expertBytes);
        if (bytes === undefined) throw new Error(`${address} has no layer ${layer}`);
        into.set(bytes);
      },
      close: async () => undefined,
    };
  }
}

async function packShard(geometry: ShardGeometry, rank: number, pack: PackExpert): Promise<PublishedShard> {
  const range = partitionExperts(geometry.numExperts, geometry.world)[rank] as ExpertRange;
  const layers = new Map<number, Uint8Array>();
  for (const layer of geometry.layers) {
    const bytes = new Uint8Array(range.count * geometry.expertBytes);
    for (let e = 0; e < range.count; e++) bytes.set(await pack(layer, range.first + e), e * geometry.expertBytes);
    layers.set(layer, bytes);
  }
  return { range, expertBytes: geometry.expertBytes, layers };
}
