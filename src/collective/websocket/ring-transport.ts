/** Weights over the ring: the own shard stands in a local segment, those of peers come by. */
import { AsyncepError } from '../../errors.ts';
import type { TransferCount } from '../messenger.ts';
import type { Port } from '../link.ts';
import { SharedMemoryTransport } from '../shared-memory.ts';
import type { ExpertRange } from '../partition.ts';
import type { PackExpert, ShardGeometry, ShardReader, Transport } from '../transport.ts';
import { ChunkPool } from './chunk-pool.ts';
import { CLOSE, LinkError } from './close.ts';
import { checkGeometry, type Control } from './control.ts';
import type { InboundLink, InboundOptions } from './inbound-link.ts';
import type { OutboundLink } from './outbound-link.ts';
import { Ring } from './ring.ts';

/** What the transport needs of its host. */
export interface RingHost {
  readonly rank: number;
  readonly world: number;
  readonly runId: string;
  readonly port: Port | undefined;
  /** Where segments stand; see {@link SharedMemoryTransport}. */
  readonly folder: string | undefined;
  readonly listen: () => Promise<string>;
  readonly open: (options: Pick<InboundOptions, 'peer' | 'address' | 'purpose' | 'geometry' | 'pool' | 'expect' | 'frame'>) => Promise<InboundLink>;
}

export class RingTransport implements Transport {
  readonly rank: number;
  readonly #store: SharedMemoryTransport;
  readonly #pool = new ChunkPool();
  #geometry: ShardGeometry | null = null;
  #path = '';
  #own: ShardReader | null = null;
  #ring: Ring | null = null;

  constructor(private readonly host: RingHost) {
    this.rank = host.rank;
    this.#store = new SharedMemoryTransport(host.rank, host.runId, host.folder);
  }

  /** @returns where the successor connects to */
  async publish(geometry: ShardGeometry, pack: PackExpert): Promise<string> {
    this.#path = await this.#store.publish(geometry, pack);
    this.#own = await this.#store.open(this.rank, this.#path, geometry);
    this.#ring = new Ring(this.rank, geometry, this.#own, this.#pool, this.host.port);
    this.#geometry = geometry;
    return this.host.listen();
  }

  /**
   * Opens this rank's own shard, or a peer's as the ring brings it. Opening that of the predecessor makes the connection.
   * @throws RankError when the predecessor is not there or has another model
   */
  async open(peer: number, address: string, geometry: ShardGeometry): Promise<ShardReader> {
    const { rank, world } = this.host;
    if (peer === rank) return this.#store.open(peer, this.#path, geometry);
    const ring = this.#ring;
    if (ring === null) throw new AsyncepError('the shards of peers come when the own one was published');
    if (peer === (rank - 1 + world) % world) {
      ring.setPredecessor(await this.host.open({
        peer, address, purpose: 'weights', geometry, pool: this.#pool,
        expect: (header) => ring.expect(header),
        frame: (header, chunk) => ring.frame(header, chunk),
      }));
    }
    return {
      rank: peer,
      range: ring.shards[peer] as ExpertRange,
      read: (layer, first, count, into) => ring.read(peer, layer, first, count, into),
      close: async () => undefined,
    };
  }

  /** @throws LinkError when the successor expects other shards */
  check({ geometry }: Extract<Control, { type: 'hello' }>): void {
    checkGeometry(geometry, this.#geometry);
    const gone = this.#ring?.gone ?? null;
    if (gone !== null) throw new LinkError(CLOSE.refused, gone);
  }

  /** The successor is there, and was {@link RingTransport.check}ed. */
  connected(link: OutboundLink): void {
    this.#ring?.setSuccessor(link);
  }

  /** Payloads since the start. */
  transferred(): TransferCount {
    return { sentBytes: this.#ring?.sentBytes ?? 0, receivedBytes: this.#ring?.receivedBytes ?? 0 };
  }

  /** The most bytes of weights on their way through this rank that it held at a time. */
  get mostHeldBytes(): number {
    return this.#pool.mostHeldBytes;
  }

  /** @param reason tells the neighbours why */
  async close(reason?: Error): Promise<void> {
    if (reason === undefined) this.#ring?.close();
    else this.#ring?.fail(reason);
    this.#geometry = null;
    await this.#own?.close().catch(() => undefined);
    this.#own = null;
    await this.#store.close();
  }
}

