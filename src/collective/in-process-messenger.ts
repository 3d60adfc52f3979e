/** Messages between ranks of one process, for tests and teaching. Peers can be cut off or fall silent as real ones do. */
import { AsyncepError, RankError } from '../errors.ts';
import { Inbox } from './inbox.ts';
import { LINK_CHUNK_BYTES, Port } from './link.ts';
import type { Messenger, MessengerHost, MessengerOptions, Tag, TransferCount } from './messenger.ts';
import { LINK_CUT, silentFor } from './pulse.ts';

/** The ranks of one world in one process meet here. */
export class InProcessWorld {
  readonly #messengers = new Map<number, InProcessMessenger>();
  readonly #arrivals: (() => void)[] = [];
  readonly #silent = new Set<number>();

  constructor(readonly world: number, private readonly options: MessengerOptions = { deadlineMs: 10_000 }) {}

  /** A messenger at once; all ranks of the world must have theirs before the first is used. */
  messenger(rank: number): Messenger {
    const port = this.options.port ?? (this.options.link && new Port(this.options.link));
    const messenger = new InProcessMessenger(rank, this.world, (peer) => this.#messengers.get(peer), (peer) => this.#silent.has(peer), port);
    this.#messengers.set(rank, messenger);
    for (const arrived of this.#arrivals.splice(0)) arrived();
    return messenger;
  }

  /** The same in the form of every other transport. */
  host(rank: number): MessengerHost {
    let messenger: Messenger | undefined;
    return {
      listen: async () => `in-process:${rank}`,
      connect: async () => {
        messenger = this.messenger(rank);
        while (this.#messengers.size < this.world) await new Promise<void>((resolve) => void this.#arrivals.push(resolve));
        return messenger;
      },
      close: async (reason) => messenger?.close(reason),
    };
  }

  /** As if the process of `rank` had died. */
  cut(rank: number): void {
    for (const [peer, messenger] of this.#messengers) if (peer !== rank) messenger.lose(rank, LINK_CUT);
  }

  /** As if the process of `rank` hung from now on: its peers notice after the deadline. */
  async silence(rank: number): Promise<void> {
    this.#silent.add(rank);
    await new Promise((resolve) => void setTimeout(resolve, this.options.deadlineMs));
    for (const [peer, messenger] of this.#messengers) if (peer !== rank) messenger.lose(rank, silentFor(this.options.deadlineMs));
  }
}

class InProcessMessenger implements Messenger {
  readonly #inboxes: Inbox[];
  readonly #failures = new Map<number, Error>();
  #sentBytes = 0;
  #messages = 0;

  constructor(
    readonly rank: number,
    readonly world: number,
    private readonly peer: (rank: number) => InProcessMessenger | undefined,
    private readonly isSilent: (rank: number) => boolean,
    private readonly port?: Port,
  ) {
    this.#inboxes = Array.from({ length: world }, (_, peer) => new Inbox(peer, port));
  }

  async send(peer: number, tag: Tag, bytes: Uint8Array): Promise<void> {
    checkPeer(this, peer);
    const id = this.#messages++;
    const there = this.#reach(peer)?.inbox(this.rank);
    there?.announce(id, tag, bytes.length);
    let offset = 0;
    let departs: number | undefined;
    do {
      const piece = bytes.slice(offset, offset + LINK_CHUNK_BYTES);
      departs = this.port?.depart(piece.length, departs);
      if (departs !== undefined) await this.port?.nearly(departs);
      if (this.#reach(peer) !== undefined) there?.arrive(id, { offset, bytes: piece.length, take: (into) => into.set(piece), drop: () => undefined }, departs);
      offset += piece.length;
      this.#sentBytes += piece.length;
    } while (offset < bytes.length);
  }

  /** Undefined while a message to `peer` or from this rank gets lost. */
  #reach(peer: number): InProcessMessenger | undefined {
    const failure = this.#failures.get(peer);
    if (failure !== undefined) throw failure;
    return this.isSilent(peer) || this.isSilent(this.rank) ? undefined : this.peer(peer);
  }

  async receive(peer: number, tag: Tag, into: Uint8Array): Promise<number> {
    checkPeer(this, peer);
    return this.inbox(peer).receive(tag, into);
  }

  inbox(peer: number): Inbox {
    return this.#inboxes[peer] as Inbox;
  }

  /** @param whole what the peer has sent may still be received */
  lose(peer: number, problem: string, whole = false): void {
    if (this.#failures.has(peer)) return;
    const error = new RankError(peer, problem);
    this.#failures.set(peer, error);
    if (whole) this.inbox(peer).end(error);
    else this.inbox(peer).fail(error);
  }

  transferred(): TransferCount {
    return { sentBytes: this.#sentBytes, receivedBytes: this.#inboxes.reduce((sum, inbox) => sum + inbox.receivedBytes, 0) };
  }

  async close(reason?: Error): Promise<void> {
    const error = reason ?? new AsyncepError('closed');
    for (let peer = 0; peer < this.world; peer++) {
      if (!this.#failures.has(peer)) this.#failures.set(peer, error);
      this.inbox(peer).fail(error);
      if (peer !== this.rank && !this.isSilent(this.rank)) this.peer(peer)?.lose(this.rank, farewell(reason?.message), true);
    }
  }
}

/** What the peers of a rank that closed its links are told. */
export const farewell = (reason: string | undefined): string =>
  reason === undefined || reason === '' ? 'it closed its link' : `it gave up: ${reason}`;

/** The reason that a peer gave for its {@link farewell}, where that is an error of yet another rank: the last link of such a chain. */
export function causeOf({ message }: RankError): RankError | null {
  const [, rank, problem] = /^(?:rank \d+: it gave up: )+rank (\d+): (.*)$/s.exec(message) ?? [];
  return problem === undefined ? null : new RankError(Number(rank), problem);
}

/** @throws RangeError when `peer` is not another rank of the world */
export function checkPeer({ rank, world }: Pick<Messenger, 'rank' | 'world'>, peer: number): void {
  if (Number.isInteger(peer) && peer >= 0 && peer < world && peer !== rank) return;
  throw new RangeError(`rank ${rank} of ${world} has no peer ${peer}`);
}
