/** N rank processes that share one model: launched together, given batches as they get free, ended together. */
import { randomBytes } from 'node:crypto';
import { removeRunSegments, sweepStaleSegments } from '../collective/segment-files.ts';
import { MAX_RANKS } from '../collective/partition.ts';
import { AsyncepError, InputError, RankError } from '../errors.ts';
import type { StreamSettings } from '../strategy/context.ts';
import type { Link } from '../collective/link.ts';
import type { KvMode } from '../engine/index.ts';
import type { Dispatch } from '../engine/split/shape.ts';
import type { WireDtype } from '../runtime/kernels/exchange.ts';
import { checkOffload, rowStrategy, type Strategy } from '../strategy/index.ts';
import type { MemoryRow } from '../strategy/memory.ts';
import type { TraceEvent } from '../trace/events.ts';
import { jointPasses, passShape, splitIntoBatches, type Batch, type JointPass } from './batching.ts';
import { Hearing } from './hearing.ts';
import type { Activations, ModelSource, PassStats, RankSetup, TransportKind, Tuning } from './messages.ts';
import { RankProcess, type Reply } from './rank-process.ts';

export interface ClusterOptions {
  readonly model: ModelSource;
  /** 1 to 8, at most the model's experts. */
  readonly ranks: number;
  readonly strategy: Strategy;
  /** Parts of adapter names, given to the ranks in turn; none: the machine's preferred adapter. */
  readonly adapters?: readonly string[];
  /** Tokens of one pass at most, unless one sequence is longer; 4096 by default. */
  readonly batchTokens?: number;
  /** Element type of packed weights; as the checkpoint has them by default. */
  readonly dtype?: NonNullable<RankSetup['dtype']>;
  /** Operands of the experts' products: `f32` (default), `f16`, or `auto`: what the tuner finds faster. Attention and router read f32. */
  readonly activations?: Activations;
  /** Time the kernels' variants on adapters of which `tuning` says nothing; else they run the default plan. */
  readonly tune?: boolean;
  /** Options of every rank's engine. */
  readonly engine?: Readonly<Record<string, unknown>>;
  readonly stream?: Partial<StreamSettings>;
  /** How bytes come to peers; `shared-memory` by default. */
  readonly transport?: TransportKind;
  /** Shapes all bytes between ranks; none: as fast as they go. */
  readonly link?: Link;
  /** Element type of activations between ranks; `f32` by default. */
  readonly wire?: WireDtype;
  /** What travels to experts under `ep` and `tp-ep`: a token once to each rank that has one of its experts (default), or once for each expert. */
  readonly dispatch?: Dispatch;
  /** Own experts stay in host memory; so many layers are held on the device ahead of the one that computes. 0 (default): they stay on the device. */
  readonly offloadLayers?: number;
  /** Passes under way at a time where ranks compute batches together; by default 2 (their transfers overlap with each other's compute), in `pp` ranks + 1. */
  readonly passesInFlight?: number;
  /** How long keys and values are kept; `layer` by default. */
  readonly kv?: KvMode;
  /** Most bytes of device memory for each rank. */
  readonly deviceMemoryBytes?: number;
  /** A rank that gives its peers, or during passes the coordinator, no sign of life for so long is given up; 10 s by default. */
  readonly deadlineMs?: number;
  /** Where ranks run and listen, in turn; this machine's loopback by default. For `websocket` only. */
  readonly hosts?: readonly RankHost[];
  /** PEM files for TLS between ranks (`websocket`). */
  readonly tls?: NonNullable<RankSetup['tls']>;
  /** Largest bank, bytes; what the adapter can bind by default. */
  readonly bankBytes?: number;
  /** What an earlier run measured, so that it need not be measured again. */
  readonly tuning?: Tuning;
  /** A rank that is silent for so long while it starts is given up; 60 s by default (a driver that compiles may block it for a while). */
  readonly silenceMs?: number;
  /** A pass that takes so long is given up; 10 minutes by default. */
  readonly passDeadlineMs?: number;
  readonly onProgress?: (progress: Progress) => void;
  /** Timeline events; microseconds since this process's `performance.timeOrigin`. */
  readonly onTrace?: (events: readonly TraceEvent[]) => void;
  /** For tests of the protocol: URL of a module with another `openBackend`. */
  readonly backendModule?: string;
}

/** A place for a rank. */
export interface RankHost {
  /** Address that the rank listens on and that its peers reach, without a port. */
  readonly address: string;
  /** Put before the rank's command line: `['ip', 'netns', 'exec', 'a']`, say. */
  readonly command?: readonly string[];
}

/** `done` of `total` experts packed, ranks warmed up, or sequences answered. */
export interface Progress {
  readonly phase: 'loading' | 'warm-up' | 'passes';
  readonly done: number;
  readonly total: number;
}

export interface RankInfo {
  readonly rank: number;
  readonly pid: number;
  readonly adapter: string;
  readonly software: boolean;
  /** t_EP (paper section 2): milliseconds of the slowest gather of a layer during warm-up; 0 where nothing is gathered. */
  readonly gatherMs: number;
  /** Device memory, part by part, as it must be and as it was allocated after the last pass. */
  memory: readonly MemoryRow[];
}

export interface RunOptions {
  /** Called with each sequence's logits as they come, in any order. */
  readonly onLogits?: (sequence: number, logits: Float32Array) => void;
}

export interface RunResult {
  /** For each sequence: logits of its last position, of the candidates or of the whole vocabulary. */
  readonly logits: Float32Array[];
  readonly passes: PassStats[];
  readonly wallMs: number;
}

export interface Cluster {
  readonly ranks: readonly RankInfo[];
  /** What was measured or given, by what it was measured for (adapter, driver, weights, kernels). */
  readonly tuning: Tuning;
  /**
   * Runs all sequences. Runs follow one another.
   * @throws RankError when a rank dies, hangs or fails; the cluster is closed then
   */
  run(sequences: readonly Uint32Array[], candidates: Uint32Array | null, options?: RunOptions): Promise<RunResult>;
  /** Ends all ranks; no process and no segment is left. */
  close(): Promise<void>;
}

const CLOSE_MS = 5000;
const NO_LOGITS = new Float32Array(0);

/**
 * Starts the ranks and makes them ready to run.
 * @throws InputError for what cannot be run, AdapterError for a missing adapter, RankError for a rank that fails
 */
export async function launchCluster(options: ClusterOptions): Promise<Cluster> {
  const { ranks } = options;
  if (!Number.isInteger(ranks) || ranks < 1 || ranks > MAX_RANKS) {
    throw new InputError('--ranks', '', `${ranks} ranks asked for; expected a whole number from 1 to ${MAX_RANKS}`);
  }
  checkOffload(options.strategy, { settings: { offloadLayers: options.offloadLayers ?? 0 } });
  sweepStaleSegments();
  const cluster = new RunningCluster(options);
  try {
    await cluster.start();
    return cluster;
  } catch (error) {
    await cluster.abort(error as AsyncepError);
    throw error;
  }
}

class RunningCluster implements Cluster {
  readonly ranks: RankInfo[] = [];
  tuning: Tuning;
  readonly #runId = randomBytes(6).toString('hex');
  readonly #token = randomBytes(24).toString('hex');
  readonly #processes: RankProcess[];
  readonly #loaded = new Map<number, { done: number; total: number }>();
  readonly #failure: Promise<never>;
  #fail!: (error: Error) => void;
  readonly #hearing: Hearing;
  #ended: Promise<void> | null = null;
  #passes = 0;
  #running: Promise<unknown> = Promise.resolve();

  constructor(private readonly options: ClusterOptions) {
    this.tuning = options.tuning ?? {};
    this.#hearing = new Hearing(options.ranks, this.#deadlineMs, (verdict) => void this.abort(verdict));
    this.#failure = new Promise((_, reject) => (this.#fail = reject));
    this.#failure.catch(() => undefined); // whoever waits for a step hears of it
    this.#processes = Array.from({ length: options.ranks }, (_, rank) =>
      new RankProcess(rank, options, {
        failed: (error) => this.#hearing.hear(rank, error),
        message: (message) => this.#onEvent(rank, message),
      }));
  }

  async start(): Promise<void> {
    const hellos = await this.#all((process) => process.ask({ type: 'start', setup: this.#setup(process.rank) }, 'hello', 'opening model and device'));
    this.#checkSameWeights(hellos);
    await this.#tune(hellos);
    await this.#connect(hellos);
    const published = await this.#all((process) => process.ask({ type: 'publish' }, 'published', 'packing its experts'));
    const addresses = published.map(({ address }) => address);
    const prepared = await this.#all((process) => process.ask({ type: 'prepare', addresses, tuning: this.tuning }, 'prepared', 'loading weights onto the device'));
    if (this.#keepsAll) for (const process of this.#processes) process.tell({ type: 'release' });
    const chunks = prepared.flatMap(({ chunkTokens }) => chunkTokens ?? []);
    const warmed = await this.#warm(chunks.length === 0 ? null : Math.min(...chunks));
    for (const process of this.#processes) process.expectSigns(this.#deadlineMs);
    this.ranks.push(...this.#processes.map(({ rank, pid }) => {
      const { adapter, software } = hellos[rank] as Reply<'hello'>;
      const { memory, gatherMs } = warmed[rank] as Reply<'warmed'>;
      return { rank, pid, adapter, software, gatherMs, memory };
    }));
  }

  get #deadlineMs(): number {
    return this.options.deadlineMs ?? 10_000;
  }

  /** Whether nothing is read from segments once the ranks are ready. */
  get #keepsAll(): boolean {
    return (this.options.offloadLayers ?? 0) === 0 && this.options.strategy !== 'asyncep' && this.options.strategy !== 'sync';
  }

  /** Where ranks exchange messages, each learns where the others are. */
  async #connect(hellos: readonly Reply<'hello'>[]): Promise<void> {
    const addresses = hellos.flatMap(({ address }) => address ?? []);
    if (addresses.length < hellos.length) return;
    await this.#all((process) => process.ask({ type: 'connect', addresses }, 'connected', 'connecting to its peers'));
  }

  #setup(rank: number): RankSetup {
    const {
      model, strategy, adapters = [], activations = 'f32', tune = false, dtype = null, engine = {}, stream = {}, bankBytes = null, onTrace,
      transport = 'shared-memory', link = null, wire = 'f32', dispatch = 'rank', kv = 'layer', deviceMemoryBytes = null, tls = null, hosts = [], offloadLayers = 0,
    } = this.options;
    const adapter = adapters.length === 0 ? null : (adapters[rank % adapters.length] as string);
    return {
      runId: this.#runId, rank, world: this.options.ranks, model, strategy, adapter, dtype, activations, tune, engine: { ...engine }, bankBytes,
      // Experts that do not arrive say less about who is at fault than a silent link does: that one speaks first.
      stream: { deadlineMs: 2 * this.#deadlineMs, ...stream, offloadLayers }, transport, link, wire, dispatch, kv, memoryLimitBytes: deviceMemoryBytes, tls,
      deadlineMs: this.#deadlineMs, token: this.#token, listen: hosts[rank % Math.max(1, hosts.length)]?.address ?? '127.0.0.1',
      trace: onTrace !== undefined,
    };
  }

  /** A folder that changes between two ranks' reading would give a model that nobody trained. */
  #checkSameWeights(hellos: readonly Reply<'hello'>[]): void {
    const other = hellos.findIndex(({ modelHash }) => modelHash !== hellos[0]?.modelHash);
    if (other !== -1) throw new RankError(other, 'reads other weights than rank 0; did the model folder change just now?');
  }

  /** The first rank of each kind measures for all, one after another, so that none disturbs the other. */
  async #tune(hellos: readonly Reply<'hello'>[]): Promise<void> {
    for (const [rank, { tuningKey }] of hellos.entries()) {
      if (Object.hasOwn(this.tuning, tuningKey)) continue;
      const process = this.#processes[rank] as RankProcess;
      const { tuning } = await this.#orFailure(process.ask({ type: 'tune' }, 'tuned', 'measuring kernels'));
      this.tuning = { ...this.tuning, [tuningKey]: tuning };
    }
  }

  #warm(chunkTokens: number | null): Promise<Reply<'warmed'>[]> {
    let done = 0;
    const total = this.#processes.length;
    this.options.onProgress?.({ phase: 'warm-up', done, total });
    return this.#all(async (process) => {
      const warmed = await process.ask({ type: 'warm', chunkTokens }, 'warmed', 'warming up');
      this.options.onProgress?.({ phase: 'warm-up', done: ++done, total });
      return warmed;
    });
  }

  #onEvent(rank: number, message: Reply<'progress'> | Reply<'trace'>): void {
    if (message.type === 'trace') {
      const originUs = performance.timeOrigin * 1000;
      this.options.onTrace?.(message.events.map(({ args, ...event }) => ({ ...event, startUs: event.startUs - originUs, ...(args === undefined ? {} : { args }) })));
      return;
    }
    this.#loaded.set(rank, message);
    let [done, total] = [0, 0];
    for (const part of this.#loaded.values()) [done, total] = [done + part.done, total + part.total];
    this.options.onProgress?.({ phase: 'loading', done, total });
  }

  run(sequences: readonly Uint32Array[], candidates: Uint32Array | null, options: RunOptions = {}): Promise<RunResult> {
    const result = this.#running.then(() => this.#run(sequences, candidates, options));
    this.#running = result.catch(() => undefined);
    return result;
  }

  async #run(sequences: readonly Uint32Array[], candidates: Uint32Array | null, { onLogits }: RunOptions): Promise<RunResult> {
    const startMs = performance.now();
    const lengths = sequences.map(({ length }) => length);
    const result: RunResult = { logits: sequences.map(() => NO_LOGITS), passes: [], wallMs: 0 };
    let done = 0;
    const total = sequences.length;
    const answered = (batch: Batch, { logits, width, rows, stats, memory }: Reply<'result'>): void => {
      for (const [row, member] of (rows ?? batch.map((_, i) => i)).entries()) {
        const index = batch[member] as number;
        const own = logits.slice(row * width, (row + 1) * width);
        result.logits[index] = own;
        onLogits?.(index, own);
      }
      done += (rows ?? batch).length;
      this.options.onProgress?.({ phase: 'passes', done, total });
      result.passes.push(stats);
      (this.ranks[stats.rank] as RankInfo).memory = memory;
    };
    this.options.onProgress?.({ phase: 'passes', done, total });
    const tokensOf = (batch: Batch): Uint32Array[] => batch.map((index) => sequences[index] as Uint32Array);
    const kind = this.#jointKind;
    if (kind === null) {
      await this.#share(splitIntoBatches(lengths, this.#batchTokens, this.options.ranks), async (process, batch) => {
        answered(batch, await this.#pass(process, this.#passes++, tokensOf(batch), candidates, null));
      });
    } else {
      const { ranks, passesInFlight: inFlight } = this.options;
      const totalTokens = lengths.reduce((sum, length) => sum + length, 0);
      const shape = passShape(kind.kind, { ofAll: kind.ofAll, ranks, batchTokens: this.#batchTokens, totalTokens, ...(inFlight !== undefined && { inFlight }) });
      await this.#together(jointPasses(lengths, shape), shape.inFlight, async (pass, joint, together) => {
        const batchLengths = joint.map((batch) => batch.map((index) => lengths[index] as number));
        await this.#all(async (process) => {
          const batch = joint[joint.length === 1 ? 0 : process.rank] as Batch;
          answered(batch, await this.#pass(process, pass, tokensOf(batch), candidates, batchLengths, together));
        });
      });
    }
    return { ...result, wallMs: performance.now() - startMs };
  }

  /**
   * Each rank takes batches as it gets free. A second one waits at the rank, so that its device need not stand still until the logits of
   * the first have come here; not so at the end, when whoever is free should take what is left.
   */
  async #share(queue: Batch[], run: (process: RankProcess, batch: Batch) => Promise<void>): Promise<void> {
    const lane = async (process: RankProcess, leave: number): Promise<void> => {
      while (queue.length > leave) await run(process, queue.shift() as Batch);
    };
    const first = this.#all((process) => lane(process, 0));
    const second = this.#all((process) => lane(process, this.#processes.length));
    await Promise.all([first, second]);
  }

  get #batchTokens(): number {
    return this.options.batchTokens ?? 4096;
  }

  /** How all ranks take part in every pass; null where each runs passes of its own. */
  get #jointKind(): { readonly kind: 'own' | 'split' | 'stages'; readonly ofAll: boolean } | null {
    const definition = rowStrategy(this.options.strategy);
    if (definition === undefined) return this.options.transport === 'websocket' && !this.#keepsAll ? { kind: 'own', ofAll: false } : null;
    return definition.kind === 'stages' ? { kind: 'stages', ofAll: true } : { kind: 'split', ofAll: definition.attention === 'heads' };
  }

  /** Passes of all ranks, in order, some under way at a time. `together`: how many of the pass and its neighbours make a round of `inFlight`. */
  async #together(passes: readonly JointPass[], inFlight: number, run: (pass: number, joint: JointPass, together: number) => Promise<void>): Promise<void> {
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < passes.length) {
        const index = next++;
        const first = index - (index % inFlight);
        await run(this.#passes++, passes[index] as JointPass, Math.min(inFlight, passes.length - first));
      }
    };
    await Promise.all(Array.from({ length: Math.min(inFlight, passes.length) }, lane));
  }

  #pass(process: RankProcess, pass: number, sequences: Uint32Array[], candidates: Uint32Array | null, lengths: number[][] | null, together = 1): Promise<Reply<'result'>> {
    return process.ask({ type: 'pass', pass, sequences, candidates, lengths, together }, 'result', `running pass ${pass}`);
  }

  #all<T>(step: (process: RankProcess) => Promise<T>): Promise<T[]> {
    return this.#orFailure(Promise.all(this.#processes.map(step)));
  }

  /** `promise`, or the failure of any rank, whichever comes first; by then everything has been cleared away. */
  #orFailure<T>(promise: Promise<T>): Promise<T> {
    promise.catch(() => undefined);
    return Promise.race([promise, this.#failure]).catch(async (error: unknown) => {
      // What one rank reports may be another's fault: the hearing decides, and ends everything.
      if (this.#processes.some((process) => process.failed)) return this.#failure;
      await this.abort(error as AsyncepError);
      throw error;
    });
  }

  /** Ends everything at once; the first reason is the one that is told. */
  abort(reason: AsyncepError): Promise<void> {
    this.#ended ??= this.#clear(reason, (process) => process.kill(reason));
    return this.#ended;
  }

  close(): Promise<void> {
    const reason = new AsyncepError('the ranks have been closed');
    this.#ended ??= this.#clear(reason, (process) => process.close(reason));
    return this.#ended;
  }

  async #clear(reason: AsyncepError, end: (process: RankProcess) => void): Promise<void> {
    this.#processes.forEach(end);
    const timer = setTimeout(() => this.#processes.forEach((process) => process.kill(reason)), CLOSE_MS);
    await Promise.all(this.#processes.map(({ gone }) => gone));
    clearTimeout(timer);
    removeRunSegments(this.#runId);
    this.#fail(reason);
  }
}
