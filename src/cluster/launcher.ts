/** How a rank becomes ready to run passes: the same steps when a world starts and when a rank of it starts again. */
import { randomBytes } from 'node:crypto';
import { type AsyncepError, RankError } from '../errors.ts';
import type { BatchRoom, MeasuredRates } from './backend.ts';
import type { RankSetup, Tuning } from './messages.ts';
import type { ClusterOptions, Progress, RankInfo } from './options.ts';
import { RankProcess, type RankEvents, type Reply } from './rank-process.ts';
import { Rendezvous } from './rendezvous.ts';

/** What a start brings beside ranks that are ready. */
export interface LaunchOptions {
  /** Segments stay although no pass reads them, for a rank that starts again. */
  readonly keepSegments?: boolean;
  /** Tokens of a pass that is timed at the end of the start; none: nothing is measured. */
  readonly measureTokens?: number;
}

/** A rank that is ready. */
export interface StartedRank extends BatchRoom {
  readonly info: RankInfo;
  readonly limits: Reply<'hello'>['limits'];
  readonly rates: MeasuredRates | null;
}

interface Greeting {
  readonly process: RankProcess;
  readonly hello: Reply<'hello'>;
}

const DEADLINE_MS = 10_000;

export const deadlineMsOf = ({ deadlineMs = DEADLINE_MS }: Pick<ClusterOptions, 'deadlineMs'>): number => deadlineMs;

/** Whether every rank has all it computes with on its device, so that passes read no segment. */
export const keepsAll = ({ offloadLayers = 0, strategy }: Pick<ClusterOptions, 'offloadLayers' | 'strategy'>): boolean =>
  offloadLayers === 0 && strategy !== 'asyncep' && strategy !== 'sync';

export class Launcher {
  /** Names the world's segments. */
  readonly runId = randomBytes(6).toString('hex');
  tuning: Tuning;
  readonly #token = randomBytes(24).toString('hex');
  readonly #greetings: Rendezvous<Greeting>;
  readonly #addresses: Rendezvous<string>;
  readonly #chunks: Rendezvous<number | null>;
  readonly #warmed: Rendezvous<null>;
  readonly #loaded = new Map<number, { done: number; total: number }>();
  #ranksWarming = 0;
  #ranksWarmed = 0;
  #modelHash: string | null = null;
  #tunes: Promise<void> = Promise.resolve();
  #onProgress: ((progress: Progress) => void) | undefined;

  constructor(
    private readonly options: ClusterOptions,
    private readonly launch: LaunchOptions = {},
  ) {
    const { ranks, tuning = {}, onProgress } = options;
    this.tuning = tuning;
    this.#onProgress = onProgress;
    this.#greetings = new Rendezvous(ranks);
    this.#addresses = new Rendezvous(ranks);
    this.#chunks = new Rendezvous(ranks);
    this.#warmed = new Rendezvous(ranks);
  }

  /** Begins the process of a rank; {@link start} does the rest. */
  spawn(rank: number, failed: RankEvents['failed']): RankProcess {
    return new RankProcess(rank, this.options, { failed, message: (message) => this.#onEvent(rank, message) });
  }

  /**
   * Takes a rank through all steps. In the first start of a world ranks wait for each other; one that starts again has its peers' parts already, and
   * waits for those that are on their way only.
   * @throws RankError, or what the rank reported, when a step fails
   */
  async start(process: RankProcess, again = false): Promise<StartedRank> {
    const hello = await process.ask({ type: 'start', setup: this.#setup(process.rank) }, 'hello', 'opening model and device');
    const greeting = { process, hello };
    const greetings = again ? [greeting] : await this.#greetings.meet(process.rank, greeting);
    this.#checkSameWeights(greetings, again);
    await this.#tune(greetings);
    await this.#connect(greetings, process);
    const { address } = await process.ask({ type: 'publish' }, 'published', 'packing its experts');
    const addresses = await this.#addresses.meet(process.rank, address);
    const { chunkTokens } = await process.ask({ type: 'prepare', addresses, tuning: this.tuning }, 'prepared', 'loading weights onto the device');
    const chunks = again ? [chunkTokens] : await this.#chunks.meet(process.rank, chunkTokens);
    if (keepsAll(this.options) && !this.launch.keepSegments) process.tell({ type: 'release' });
    const { memory, gatherMs, maxBatchBlocks, cacheBlocks } = await this.#warm(process, chunks);
    const rates = await this.#measure(process, again);
    process.expectSigns(deadlineMsOf(this.options));
    const { adapter, software, limits } = hello;
    return { info: { rank: process.rank, pid: process.pid, adapter, software, gatherMs, memory }, limits, rates, maxBatchBlocks, cacheBlocks };
  }

  /** The rank is no more: what it published is gone. */
  lost(rank: number): void {
    this.#addresses.withdraw(rank);
  }

  /** The rank will not start again: who starts again itself cannot have its experts. */
  gaveUp(rank: number, error: AsyncepError): void {
    this.#addresses.giveUp(rank, error);
  }

  /** The world runs: nobody is told of progress any more. */
  started(): void {
    this.#onProgress = undefined;
  }

  #setup(rank: number): RankSetup {
    const {
      model, strategy, adapters = [], activations = 'f32', tune = false, dtype = null, engine = {}, stream = {}, bankBytes = null, onTrace, prefixCacheBytes,
      transport = 'shared-memory', link = null, wire = 'f32', dispatch = 'rank', kv = 'layer', deviceMemoryBytes = null, tls = null, hosts = [], offloadLayers = 0,
    } = this.options;
    const adapter = adapters.length === 0 ? null : (adapters[rank % adapters.length] as string);
    const deadlineMs = deadlineMsOf(this.options);
    return {
      runId: this.runId, rank, world: this.options.ranks, model, strategy, adapter, dtype, activations, tune, bankBytes,
      engine: { ...engine, ...(prefixCacheBytes !== undefined && { prefixCacheBytes }) },
      // Experts that do not arrive say less about who is at fault than a silent link does: that one speaks first.
      stream: { deadlineMs: 2 * deadlineMs, ...stream, offloadLayers }, transport, link, wire, dispatch, kv, memoryLimitBytes: deviceMemoryBytes, tls,
      deadlineMs, token: this.#token, listen: hosts[rank % Math.max(1, hosts.length)]?.address ?? '127.0.0.1',
      trace: onTrace !== undefined,
    };
  }

  /** A folder that changes between two readings would give a model that nobody trained. */
  #checkSameWeights(greetings: readonly Greeting[], again: boolean): void {
    this.#modelHash ??= greetings[0]?.hello.modelHash ?? null;
    const other = greetings.find(({ hello }) => hello.modelHash !== this.#modelHash);
    if (other !== undefined) throw new RankError(other.process.rank, `reads other weights than ${again ? 'before' : 'rank 0'}; did the model folder change just now?`);
  }

  /** The first rank of each kind measures for all, one after another, so that none disturbs the other. */
  #tune(greetings: readonly Greeting[]): Promise<void> {
    const tuned = this.#tunes.then(async () => {
      for (const { process, hello: { tuningKey } } of greetings) {
        if (Object.hasOwn(this.tuning, tuningKey)) continue;
        const { tuning } = await process.ask({ type: 'tune' }, 'tuned', 'measuring kernels');
        this.tuning = { ...this.tuning, [tuningKey]: tuning };
      }
    });
    this.#tunes = tuned.catch(() => undefined);
    return tuned;
  }

  /** Where ranks exchange messages, each learns where the others are. */
  async #connect(greetings: readonly Greeting[], process: RankProcess): Promise<void> {
    const addresses = greetings.flatMap(({ hello }) => hello.address ?? []);
    if (addresses.length < greetings.length) return;
    await process.ask({ type: 'connect', addresses }, 'connected', 'connecting to its peers');
  }

  async #warm(process: RankProcess, chunks: readonly (number | null)[]): Promise<Reply<'warmed'>> {
    const total = this.options.ranks;
    if (this.#ranksWarming++ === 0) this.#onProgress?.({ phase: 'warm-up', done: 0, total });
    const smallest = Math.min(...chunks.map((chunkTokens) => chunkTokens ?? Infinity));
    const warmed = await process.ask({ type: 'warm', chunkTokens: Number.isFinite(smallest) ? smallest : null }, 'warmed', 'warming up');
    this.#onProgress?.({ phase: 'warm-up', done: ++this.#ranksWarmed, total });
    return warmed;
  }

  /** All ranks at once, because so they will compute: on one machine they share its cores or its adapter. */
  async #measure(process: RankProcess, again: boolean): Promise<MeasuredRates | null> {
    const { measureTokens: tokens } = this.launch;
    if (tokens === undefined) return null;
    if (!again) await this.#warmed.meet(process.rank, null);
    const { passFlopsPerSecond, peakFlopsPerSecond } = await process.ask({ type: 'measure', tokens }, 'measured', 'measuring its speed');
    return { passFlopsPerSecond, peakFlopsPerSecond };
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
    this.#onProgress?.({ phase: 'loading', done, total });
  }
}
