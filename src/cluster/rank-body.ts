/** One rank: does what the coordinator says, step by step, and ends when it is told to, fails, or is left alone. */
import type { Messenger } from '../collective/messenger.ts';
import { partitionExperts, type ExpertRange } from '../collective/partition.ts';
import type { ShardReader } from '../collective/transport.ts';
import { InputError } from '../errors.ts';
import { NO_CACHE_EVENTS } from '../engine/prefix/cache-events.ts';
import type { TraceEvent } from '../trace/events.ts';
import type { BackendHooks, OpenBackend, RankBackend } from './backend.ts';
import { describeFailure } from './failure.ts';
import { openLinks, type RankLinks } from './links.ts';
import type { FromRank, PassStats, RankSetup, ToRank } from './messages.ts';

/** A rank gives a sign of life so often, or five times a deadline where that is short. */
const HEARTBEAT_MS = 500;
const HEARTBEATS_PER_DEADLINE = 5;

/** The rank's end of the line. */
export interface RankChannel {
  send(message: FromRank): void;
  /** Messages are handled one after another. */
  onMessage(handler: (message: ToRank) => void): void;
}

type Message<T extends ToRank['type']> = Extract<ToRank, { type: T }>;

/** Serves `channel` until the coordinator says `close` or a step fails; then everything the rank held is released. */
export async function runRank(channel: RankChannel, openBackend: OpenBackend): Promise<'closed' | 'failed'> {
  const rank = new Rank(channel, openBackend);
  let failure: unknown;
  const heartbeat = beat(() => channel.send({ type: 'heartbeat' }), () => rank.heartbeatMs);
  try {
    await serve(channel, rank);
    return 'closed';
  } catch (error) {
    failure = error;
    channel.send({ type: 'failed', error: describeFailure(error) });
    return 'failed';
  } finally {
    await rank.close(failure).catch(() => undefined);
    heartbeat.stop();
  }
}

/** Calls `send` again and again, each time after as long as `intervalMs` says then. */
function beat(send: () => void, intervalMs: () => number): { stop(): void } {
  let timer: NodeJS.Timeout;
  const next = (): void => {
    timer = setTimeout(() => {
      send();
      next();
    }, intervalMs());
  };
  next();
  return { stop: () => clearTimeout(timer) };
}

/** Runs the messages in order (passes overlap); resolves at `close`, rejects with the first failure. */
function serve(channel: RankChannel, rank: Rank): Promise<void> {
  return new Promise((resolve, reject) => {
    let last: Promise<void> = Promise.resolve();
    channel.onMessage((message) => {
      last = last.then(() => (message.type === 'close' ? resolve() : rank.handle(message)));
      last.catch(reject);
    });
    rank.passFailed.catch(reject);
  });
}

const epochUs = (ms: number): number => (performance.timeOrigin + ms) * 1000;

class Rank {
  #setup: RankSetup | null = null;
  #backend: RankBackend | null = null;
  #links: RankLinks | null = null;
  #messenger: Messenger | null = null;
  #readers: ShardReader[] = [];
  #events: TraceEvent[] = [];
  #failPass!: (error: unknown) => void;
  /** Rejects when a pass fails. */
  readonly passFailed = new Promise<never>((_, reject) => (this.#failPass = reject));

  constructor(
    private readonly channel: RankChannel,
    private readonly openBackend: OpenBackend,
  ) {}

  get heartbeatMs(): number {
    return Math.min(HEARTBEAT_MS, (this.#setup?.deadlineMs ?? Infinity) / HEARTBEATS_PER_DEADLINE);
  }

  async handle(message: Exclude<ToRank, { type: 'close' }>): Promise<void> {
    switch (message.type) {
      case 'start': return this.#start(message);
      case 'tune': return this.channel.send({ type: 'tuned', tuning: await this.#open.tune() });
      case 'connect': return this.#connect(message);
      case 'publish': return this.#publish();
      case 'prepare': return this.#prepare(message);
      case 'release': return this.#release();
      case 'warm': return this.#warm(message);
      case 'measure': return this.channel.send({ type: 'measured', ...(await this.#open.measure(message.tokens)) });
      // Not awaited: the next pass is recorded while this one computes.
      case 'pass': return void this.#forward(message).catch((error: unknown) => this.#refuse(message.pass, error));
      default: message satisfies never;
    }
  }

  get #open(): RankBackend {
    if (this.#backend === null) throw new Error('a message came before "start"');
    return this.#backend;
  }

  async #start({ setup }: Message<'start'>): Promise<void> {
    this.#setup = setup;
    const hooks: BackendHooks = { trace: setup.trace ? (event) => this.#record(event) : () => undefined };
    const backend = (this.#backend = await this.openBackend(setup, hooks));
    const links = (this.#links = openLinks(setup, { shard: backend.shard, local: backend.geometry.world === 1 }));
    const address = backend.needsMessenger ? await links.messages.listen() : null;
    const { adapter, software, geometry, tuningKey, limits } = backend;
    this.channel.send({ type: 'hello', adapter, software, tuningKey, modelHash: geometry.modelHash, address, limits });
  }

  async #connect({ addresses }: Message<'connect'>): Promise<void> {
    this.#messenger = await this.#ways.messages.connect(addresses);
    this.channel.send({ type: 'connected' });
  }

  get #ways(): RankLinks {
    if (this.#links === null) throw new Error('a message came before "start"');
    return this.#links;
  }

  #record(event: Parameters<BackendHooks['trace']>[0]): void {
    const { track, name, startMs, durationMs, layer, pass } = event;
    const bytes = 'bytes' in event ? event.bytes : undefined;
    const args: Record<string, string | number> = {
      pass, ...(layer === undefined ? {} : { layer }), ...(bytes === undefined ? {} : { bytes }), ...(track === 'slot' ? { kind: 'copy' } : {}),
    };
    this.#events.push({
      name, rank: (this.#setup as RankSetup).rank, track,
      startUs: epochUs(startMs), durationUs: durationMs * 1000, args,
    });
  }

  async #publish(): Promise<void> {
    const { geometry, shard } = this.#open;
    const own = partitionExperts(geometry.numExperts, geometry.world)[shard] as ExpertRange;
    const total = geometry.layers.length * own.count;
    let done = 0;
    const address = await this.#ways.weights.publish(geometry, async (layer, expert) => {
      const packed = await this.#open.pack(layer, expert);
      this.channel.send({ type: 'progress', phase: 'loading', done: ++done, total });
      return packed;
    });
    this.channel.send({ type: 'published', address });
  }

  async #prepare({ addresses, tuning }: Message<'prepare'>): Promise<void> {
    const { geometry } = this.#open;
    // What a world of one reads is its own.
    const shards = geometry.world === 1 ? addresses.slice((this.#setup as RankSetup).rank).slice(0, 1) : addresses;
    for (const [peer, address] of shards.entries()) this.#readers.push(await this.#ways.weights.open(peer, address, geometry));
    const chunkTokens = await this.#open.prepare(this.#readers, tuning[this.#open.tuningKey] ?? null, this.#messenger);
    this.channel.send({ type: 'prepared', chunkTokens });
  }

  /** All ranks hold every expert on their device: the segments have done their work. */
  async #release(): Promise<void> {
    for (const reader of this.#readers.splice(0)) await reader.close();
    await this.#links?.weights.close();
  }

  async #warm({ chunkTokens }: Message<'warm'>): Promise<void> {
    await this.#open.warm(chunkTokens);
    const layers = this.#open.takeStats().layers.filter(({ gathers }) => gathers > 0);
    const gatherMs = Math.max(0, ...layers.map((counts) => (counts.gatherMs + counts.copyMs) / counts.gathers));
    this.#sendEvents();
    this.channel.send({ type: 'warmed', memory: this.#open.memory(), gatherMs, ...this.#open.room() });
  }

  async #forward({ pass, sequences, candidates, lengths, together, scored, top }: Message<'pass'>): Promise<void> {
    const startMs = performance.now();
    const { logits, width, rows = null, scores = null, cachedTokens = null, cache = NO_CACHE_EVENTS, flops, expertRows, engine } = await this.#open.forward({
      sequences, candidates, top, ...(lengths && { lengths }), ...(together !== undefined && { together }), ...(scored && { scored }),
    }, pass);
    const wallMs = performance.now() - startMs;
    const { gatherMs, copyMs, waitedMs, hostBytes } = this.#open.takeStats().total;
    const { sentBytes, receivedBytes, transferMs, exposedMs } = this.#open.takeLinkStats();
    const stats: PassStats = {
      pass, rank: (this.#setup as RankSetup).rank, sequences: sequences.length,
      tokens: sequences.reduce((sum, { length }) => sum + length, 0), flops,
      startEpochMs: performance.timeOrigin + startMs, wallMs, gatherMs, copyMs, waitedMs, exposedMs, hostBytes,
      sentBytes, receivedBytes, transferMs, expertRows, engine,
    };
    this.#sendEvents();
    this.channel.send({ type: 'result', pass, logits, width, rows: rows && [...rows], scores, cachedTokens: cachedTokens && [...cachedTokens], cache, stats, memory: this.#open.memory() });
  }

  /** A batch that cannot be run is the fault of who asked. Where peers wait for this rank's part of it, there is no going on. */
  #refuse(pass: number, error: unknown): void {
    if (!(error instanceof InputError) || this.#open.needsMessenger) return this.#failPass(error);
    this.channel.send({ type: 'refused', pass, error: describeFailure(error) });
  }

  #sendEvents(): void {
    if (this.#events.length > 0) this.channel.send({ type: 'trace', events: this.#events.map((event) => ({ ...event, args: { ...event.args } })) });
    this.#events = [];
  }

  /** @param failure what peers are told */
  async close(failure?: unknown): Promise<void> {
    await this.#links?.messages.close(failure instanceof Error ? failure : undefined);
    await this.#backend?.close();
    await this.#release();
  }
}
