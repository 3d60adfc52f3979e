/**
 * Messages between processes of one machine. Every rank listens on a Unix domain socket (loopback TCP where there are none) and connects to
 * all ranks below its own; over each connection the two agree on who they are and exchange the files through which payloads go.
 */
import { createConnection, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { z } from 'zod';
import { AsyncepError, RankError } from '../errors.ts';
import { FrameError, KIND, PROTOCOL_VERSION, encodeFrame } from './frames.ts';
import { Port } from './link.ts';
import { Outbox, PeerOutbox } from './mailbox.ts';
import type { Membership, Messenger, MessengerHost, MessengerOptions } from './messenger.ts';
import { forgetSegment, guardSegment, outboxPath, segmentFolder, socketPath } from './segment-files.ts';
import { PeerMessenger } from './peer-messenger.ts';
import { SharedMemoryLink } from './shared-memory-link.ts';
import { sameText } from './token.ts';
import { Wire } from './wire.ts';

/** sockaddr_un holds 104 bytes on macOS, 108 on Linux. */
const MAX_SOCKET_PATH_BYTES = 100;

const helloSchema = z.object({
  version: z.number(),
  runId: z.string(),
  rank: z.number().int().nonnegative(),
  world: z.number().int(),
  token: z.string(),
  outbox: z.string(),
});
type Hello = z.infer<typeof helloSchema>;

interface Place {
  readonly link: Promise<SharedMemoryLink>;
  readonly taken: (link: SharedMemoryLink) => void;
}

export class SharedMemoryHost implements MessengerHost {
  readonly #port: Port | undefined;
  /** Of the ranks above the own one, all. */
  readonly #places = new Map<number, Place>();
  /** Places that nobody has taken. */
  readonly #open: Map<number, Place>;
  readonly #wires = new Set<Wire>();
  readonly #outboxes = new Set<Outbox>();
  readonly #links: SharedMemoryLink[] = [];
  #server: Server | undefined;
  #socketPath: string | undefined;
  #messenger: PeerMessenger | undefined;

  /** @param folder where outboxes and sockets stand; /dev/shm unless told otherwise */
  constructor(private readonly membership: Membership, private readonly options: MessengerOptions, private readonly folder: string = segmentFolder()) {
    this.#port = options.port ?? (options.link && new Port(options.link));
    for (let peer = membership.rank + 1; peer < membership.world; peer++) this.#places.set(peer, place());
    this.#open = new Map(this.#places);
  }

  async listen(): Promise<string> {
    const server = (this.#server = createServer((socket) => void this.#accept(socket)));
    const path = socketPath(this.membership.runId, this.membership.rank, this.folder);
    const useTcp = process.platform === 'win32' || Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES;
    if (!useTcp) guardSegment((this.#socketPath = path));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(useTcp ? { host: '127.0.0.1', port: 0 } : { path }, () => resolve());
    });
    return useTcp ? `tcp:127.0.0.1:${(server.address() as AddressInfo).port}` : `unix:${path}`;
  }

  async connect(addresses: readonly string[]): Promise<Messenger> {
    const { rank, world } = this.membership;
    const links = await Promise.all(Array.from({ length: world }, (_, peer) => {
      if (peer === rank) return null;
      return peer < rank ? this.#dial(peer, addresses[peer] ?? '') : this.#expected(peer);
    }));
    this.#stopListening(); // nobody else is to come
    return (this.#messenger = new PeerMessenger(rank, links));
  }

  #expected(peer: number): Promise<SharedMemoryLink> {
    const seconds = this.options.deadlineMs / 1e3;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new RankError(peer, `did not connect within ${seconds} s`)), this.options.deadlineMs);
      void (this.#places.get(peer) as Place).link.then((link) => {
        clearTimeout(timer);
        resolve(link);
      });
    });
  }

  async #dial(peer: number, address: string): Promise<SharedMemoryLink> {
    const { deadlineMs } = this.options;
    const socket = dial(address);
    const wire = new Wire(socket);
    this.#wires.add(wire);
    try {
      const outbox = await this.#createOutbox(peer);
      wire.write(this.#greeting('hello', outbox));
      const welcome = await wire.expect(KIND.welcome, deadlineMs, (body) => this.#check(body));
      if (welcome.rank !== peer) throw new FrameError(`answered as rank ${welcome.rank}`);
      const peerOutbox = await PeerOutbox.open(welcome.outbox);
      await outbox.unlink(); // the peer opened it before it said welcome
      const link = this.#link({ peer, wire, outbox, peerOutbox });
      wire.write(encodeFrame(KIND.ready));
      return link;
    } catch (error) {
      wire.destroy();
      throw error instanceof FrameError ? new RankError(peer, `cannot be reached at ${address}: ${error.message}`) : error;
    }
  }

  async #accept(socket: Socket): Promise<void> {
    const { deadlineMs } = this.options;
    const wire = new Wire(socket);
    this.#wires.add(wire);
    let giveBack = (): void => undefined;
    try {
      const { rank: peer, outbox: path } = await wire.expect(KIND.hello, deadlineMs, (body) => this.#check(body));
      const place = this.#open.get(peer);
      if (place === undefined) throw new FrameError(`rank ${peer} is not expected here`);
      this.#open.delete(peer);
      giveBack = () => void this.#open.set(peer, place);
      const [peerOutbox, outbox] = await Promise.all([PeerOutbox.open(path), this.#createOutbox(peer)]);
      const ready = wire.expect(KIND.ready, deadlineMs, () => this.#link({ peer, wire, outbox, peerOutbox }));
      wire.write(this.#greeting('welcome', outbox));
      const link = await ready;
      await outbox.unlink();
      place.taken(link);
    } catch (error) {
      giveBack();
      await wire.end(error instanceof Error ? error.message : String(error));
    }
  }

  async #createOutbox(peer: number): Promise<Outbox> {
    const outbox = await Outbox.create(outboxPath(this.membership.runId, this.membership.rank, peer, this.folder));
    this.#outboxes.add(outbox);
    return outbox;
  }

  #greeting(kind: 'hello' | 'welcome', outbox: Outbox): Buffer {
    const hello: Hello = { version: PROTOCOL_VERSION, ...this.membership, outbox: outbox.path };
    return encodeFrame(KIND[kind], Buffer.from(JSON.stringify(hello)));
  }

  /** @throws FrameError when it is no hello, or not from a rank of this world */
  #check(body: Buffer): Hello {
    const { runId, world, token } = this.membership;
    let hello: Hello;
    try {
      hello = helloSchema.parse(JSON.parse(body.toString('utf8')));
    } catch {
      throw new FrameError('sent a malformed hello');
    }
    if (hello.version !== PROTOCOL_VERSION) throw new FrameError(`speaks protocol ${hello.version}; expected ${PROTOCOL_VERSION}`);
    if (!sameText(hello.token, token)) throw new FrameError('the token is wrong');
    if (hello.runId !== runId) throw new FrameError(`belongs to run ${hello.runId}; expected ${runId}`);
    if (hello.world !== world) throw new FrameError(`belongs to a world of ${hello.world} ranks; expected ${world}`);
    return hello;
  }

  #link(ends: { peer: number; wire: Wire; outbox: Outbox; peerOutbox: PeerOutbox }): SharedMemoryLink {
    const link = new SharedMemoryLink({ ...ends, deadlineMs: this.options.deadlineMs, port: this.#port });
    this.#links.push(link);
    this.#wires.delete(ends.wire);
    this.#outboxes.delete(ends.outbox);
    return link;
  }

  #stopListening(): void {
    this.#server?.close();
    if (this.#socketPath !== undefined) forgetSegment(this.#socketPath);
    this.#server = this.#socketPath = undefined;
  }

  async close(reason?: Error): Promise<void> {
    this.#stopListening();
    for (const wire of this.#wires) wire.destroy();
    await Promise.all([...this.#outboxes].map((outbox) => outbox.close()));
    const error = reason ?? new AsyncepError('closed');
    await Promise.all(this.#links.splice(0).map((link) => link.close(error, reason)));
    await this.#messenger?.close(reason);
  }
}

function place(): Place {
  let taken!: (link: SharedMemoryLink) => void;
  const link = new Promise<SharedMemoryLink>((resolve) => (taken = resolve));
  return { link, taken };
}

/** `unix:PATH` or `tcp:HOST:PORT`, as {@link SharedMemoryHost.listen} says. */
function dial(address: string): Socket {
  const [, path, host, port] = /^(?:unix:(.+)|tcp:([^:]+):(\d+))$/.exec(address) ?? [];
  if (path !== undefined) return createConnection({ path });
  if (host !== undefined) return createConnection({ host, port: Number(port) });
  throw new AsyncepError(`"${address}" is not where a rank listens; expected unix:PATH or tcp:HOST:PORT`);
}
