/** A rank's end of all its WebSocket connections: it listens once, for weights and for messages. */
import { AsyncepError, RankError } from '../../errors.ts';
import { Port } from '../link.ts';
import type { Membership, Messenger, MessengerHost, MessengerOptions } from '../messenger.ts';
import { PeerMessenger } from '../peer-messenger.ts';
import { ChunkPool } from './chunk-pool.ts';
import { CLOSE, LinkError } from './close.ts';
import type { TlsFiles } from './dial.ts';
import { InboundLink, type InboundOptions } from './inbound-link.ts';
import { LinkServer } from './link-server.ts';
import { MAX_KEPT_BYTES, MessagePeer } from './message-peer.ts';
import type { OutboundLink } from './outbound-link.ts';
import { RingTransport } from './ring-transport.ts';

export interface WebSocketOptions extends MessengerOptions {
  /** Where to listen; 127.0.0.1 unless given, and told to the peers as it is. */
  readonly host?: string;
  /** Chosen by the system unless given. */
  readonly listenPort?: number;
  /** With these, all connections are encrypted, and peers must show a certificate of the authority. */
  readonly tls?: TlsFiles;
  /** Where the own shard stands; shared memory unless given. */
  readonly folder?: string;
  /** What one peer may send before it is asked for; 1 GiB unless given. */
  readonly maxKeptBytes?: number;
}

export class WebSocketHost implements MessengerHost {
  /** This rank's weights, and those of the ring. */
  readonly transport: RingTransport;
  readonly #port: Port | undefined;
  readonly #pool = new ChunkPool();
  readonly #peers: (MessagePeer | null)[];
  /** Peers that have connected for messages, or will. */
  readonly #arrivals = new Map<number, { promise: Promise<void>; arrived: () => void }>();
  #server: Promise<LinkServer> | null = null;
  #messenger: PeerMessenger | null = null;

  constructor(private readonly membership: Membership, private readonly options: WebSocketOptions) {
    const { rank, world, runId } = membership;
    this.#port = options.port ?? (options.link && new Port(options.link));
    this.#peers = Array.from({ length: world }, (_, peer) => (peer === rank ? null : new MessagePeer(rank, peer, this.#port, options.maxKeptBytes ?? MAX_KEPT_BYTES)));
    for (const { peer } of this.#others()) this.#arrivals.set(peer, arrival());
    this.transport = new RingTransport({
      rank, world, runId, port: this.#port, folder: options.folder,
      listen: () => this.listen(),
      open: (link) => this.#open(link),
    });
  }

  #others(): MessagePeer[] {
    return this.#peers.filter((peer) => peer !== null);
  }

  /** @throws InputError when it cannot listen where it was told to */
  async listen(): Promise<string> {
    const { host, listenPort, tls, deadlineMs } = this.options;
    this.#server ??= LinkServer.listen({
      membership: this.membership, host, port: listenPort, tls, deadlineMs,
      check: ({ purpose, peer }, hello) => (purpose === 'weights' ? this.transport.check(hello) : this.#checkPeer(peer)),
      connected: ({ purpose, peer }, link) => (purpose === 'weights' ? this.transport.connected(link) : this.#arrived(peer, link)),
    });
    return (await this.#server).address;
  }

  /** @throws LinkError when the peer left, and comes again */
  #checkPeer(peer: number): void {
    const gone = this.#peers[peer]?.gone ?? null;
    if (gone !== null) throw new LinkError(CLOSE.refused, gone);
  }

  #arrived(peer: number, link: OutboundLink): void {
    (this.#peers[peer] as MessagePeer).setOutbound(link);
    this.#arrivals.get(peer)?.arrived();
  }

  #open(link: Omit<InboundOptions, 'membership' | 'deadlineMs' | 'tls'>): Promise<InboundLink> {
    const { tls, deadlineMs } = this.options;
    return InboundLink.open({ ...link, membership: this.membership, deadlineMs, tls });
  }

  async connect(addresses: readonly string[]): Promise<Messenger> {
    await Promise.all(this.#others().map((peer) => this.#meet(peer, addresses[peer.peer] ?? '')));
    return (this.#messenger = new PeerMessenger(this.membership.rank, this.#peers));
  }

  /** Both directions. */
  async #meet(peer: MessagePeer, address: string): Promise<void> {
    const { deadlineMs } = this.options;
    const link = await this.#open({
      peer: peer.peer, address, purpose: 'messages', pool: this.#pool,
      expect: (header) => peer.expect(header),
      frame: (header, chunk) => peer.frame(header, chunk),
    });
    peer.setInbound(link);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new RankError(peer.peer, `did not connect within ${deadlineMs / 1e3} s`)), deadlineMs);
    });
    await Promise.race([this.#arrivals.get(peer.peer)?.promise, late]).finally(() => clearTimeout(timer));
  }

  async close(reason?: Error): Promise<void> {
    await this.#messenger?.close(reason);
    for (const peer of this.#others()) peer.close(reason ?? new AsyncepError('closed'), reason);
    await this.transport.close(reason);
    await this.#server?.then((server) => server.close(), () => undefined);
  }
}

function arrival(): { promise: Promise<void>; arrived: () => void } {
  let arrived!: () => void;
  const promise = new Promise<void>((resolve) => (arrived = resolve));
  return { promise, arrived };
}
