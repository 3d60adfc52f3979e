import type { EngineInfo, EnginePool, PassAnswer, PassSequence, PassWork } from '../../src/cluster/engine-pool.ts';
import type { PassStats } from '../../src/cluster/messages.ts';
import { blockHashes, type TokenScores } from '../../src/engine/index.ts';
import { InputError, RankError } from '../../src/errors.ts';
import { prefillFlops } from '../../src/model/flops.ts';
import type { ModelConfig } from '../../src/model/types.ts';
import type { TraceEvent } from '../../src/trace/events.ts';

/** Depends on every token and its place. */
const digest = (tokens: ArrayLike<number>, end = tokens.length): number => {
  let value = 7;
  for (let i = 0; i < end; i++) value = (value * 31 + (tokens[i] as number) + 1) % 65521;
  return value;
};

/** What the fake engines say of `candidates` after `tokens`. */
export const fakeLogits = (tokens: ArrayLike<number>, candidates: readonly number[]): number[] =>
  candidates.map((candidate) => ((digest(tokens) + 257 * candidate) % 4096) / 64);

/** What they say of the last `scored` positions. */
export function fakeScores(tokens: ArrayLike<number>, scored: number, top: number): TokenScores {
  const positions = Array.from({ length: scored }, (_, i) => tokens.length - scored + i);
  const ranks = Array.from({ length: top }, (_, rank) => rank);
  return {
    top,
    normalizers: Float32Array.from(positions, (position) => digest(tokens, position + 1) / 8),
    nextLogits: Float32Array.from(positions, (position) => (position + 1 < tokens.length ? digest(tokens, position + 2) / 16 : 0)),
    topTokens: Uint32Array.from(positions.flatMap((position) => ranks.map((rank) => (digest(tokens, position + 1) + rank) % 256))),
    topLogits: Float32Array.from(positions.flatMap((position) => ranks.map((rank) => digest(tokens, position + 1) / 4 - rank))),
  };
}

interface UnderWay {
  readonly work: PassWork;
  readonly timer: NodeJS.Timeout;
  resolve(answer: PassAnswer): void;
  reject(error: Error): void;
}

interface FakeEngine {
  info: EngineInfo;
  /** Ended, whether or not it was told. */
  dead: boolean;
  busyUntilMs: number;
  readonly underWay: Set<UnderWay>;
  cached: Set<number>;
}

/** How an engine ends. */
export interface Loss {
  /** The pool tells of it so much later than the passes fail; or the passes fail so much later than it tells. */
  readonly tellAfterMs?: number;
  readonly failAfterMs?: number;
  /** The pool says that it will never be back. */
  readonly forGood?: boolean;
  /** Until it is ready again; never when not given. */
  readonly backAfterMs?: number;
}

export interface FakePoolOptions {
  readonly config: ModelConfig;
  readonly engines: number;
  readonly serviceMs?: (work: PassWork, engine: number) => number;
  /** Prompts that end their engine, and those that it refuses. */
  readonly poisonous?: (tokens: Uint32Array) => boolean;
  readonly refused?: (tokens: Uint32Array) => boolean;
  readonly poisonLoss?: Loss;
  /** The loss of one engine is the loss of all. */
  readonly together?: boolean;
  /** Engines that are `starting` at first. */
  readonly starting?: readonly number[];
  readonly info?: Partial<EngineInfo>;
}

const SERVICE_MS = 10;
const epochMs = (): number => performance.timeOrigin + performance.now();

/** Engines that compute nothing, one batch after the other on each; answers are those of {@link fakeLogits} and {@link fakeScores}. */
export class FakePool implements EnginePool {
  /** What was given to engines, in order. */
  readonly given: { readonly engine: number; readonly work: PassWork }[] = [];
  /** Most passes that an engine had at a time; and passes given to one that was known not to be ready. */
  mostUnderWay = 0;
  givenToLost = 0;
  closed = false;
  readonly #runs = new Map<string, number>();
  readonly #engines: FakeEngine[];
  readonly #changes = new Set<(engine: EngineInfo, error?: RankError) => void>();
  readonly #traces = new Set<(events: readonly TraceEvent[]) => void>();
  #passes = 0;

  constructor(readonly options: FakePoolOptions) {
    this.#engines = Array.from({ length: options.engines }, (_, engine) => ({
      info: {
        engine, adapter: 'fake', software: true, pid: 1000 + engine, state: options.starting?.includes(engine) ? 'starting' as const : 'ready' as const, restarts: 0,
        gatherMs: 2, measuredFlopsPerSecond: 1e9, peakFlopsPerSecond: 2e9, maxBatchBlocks: 1e6, cacheBlocks: 1000, memory: [], ...options.info,
      },
      dead: false, busyUntilMs: 0, underWay: new Set(), cached: new Set(),
    }));
  }

  get engines(): readonly EngineInfo[] {
    return this.#engines.map(({ info }) => info);
  }

  get listeners(): number {
    return this.#changes.size + this.#traces.size;
  }

  underWay(engine: number): number {
    return this.#engine(engine).underWay.size;
  }

  /** Passes that a prompt was in, those among them that were lost before they began. */
  runsOf(tokens: Uint32Array): number {
    return this.#runs.get(tokens.join()) ?? 0;
  }

  /** Prompts of the passes that an engine has. */
  promptsOf(engine: number): Uint32Array[] {
    return [...this.#engine(engine).underWay].flatMap(({ work }) => work.sequences.map(({ tokens }) => tokens));
  }

  pass(index: number, work: PassWork): Promise<PassAnswer> {
    const engine = this.#engine(index);
    this.given.push({ engine: index, work });
    if (engine.info.state !== 'ready') this.givenToLost++;
    const refused = work.sequences.findIndex(({ tokens }) => this.options.refused?.(tokens));
    if (refused >= 0) return Promise.reject(new InputError(`sequence ${refused}`, 'tokens', 'are refused'));
    for (const { tokens } of work.sequences) this.#runs.set(tokens.join(), this.runsOf(tokens) + 1);
    if (engine.dead || engine.info.state !== 'ready') return Promise.reject(new RankError(index, 'is not there'));
    const serviceMs = this.options.serviceMs?.(work, index) ?? SERVICE_MS;
    const startMs = Math.max(epochMs(), engine.busyUntilMs);
    engine.busyUntilMs = startMs + serviceMs;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#end(engine, entry, startMs, serviceMs), startMs + serviceMs - epochMs());
      const entry: UnderWay = { work, timer, resolve, reject };
      engine.underWay.add(entry);
      this.mostUnderWay = Math.max(this.mostUnderWay, engine.underWay.size);
    });
  }

  onChange(listener: (engine: EngineInfo, error?: RankError) => void): () => void {
    this.#changes.add(listener);
    return () => this.#changes.delete(listener);
  }

  onTrace(listener: (events: readonly TraceEvent[]) => void): () => void {
    this.#traces.add(listener);
    return () => this.#traces.delete(listener);
  }

  /** As if a rank had sent timeline events. */
  trace(events: readonly TraceEvent[]): void {
    for (const listener of this.#traces) listener(events);
  }

  lose(index: number, { tellAfterMs = 0, failAfterMs = 0, backAfterMs = Infinity, forGood = false }: Loss = {}): void {
    const engines = (this.options.together ? this.#engines : [this.#engine(index)]).filter(({ dead }) => !dead);
    const error = new RankError(index, 'was killed');
    const passes = engines.flatMap((engine) => [...engine.underWay]);
    for (const engine of engines) {
      engine.dead = true;
      engine.underWay.clear();
    }
    for (const { timer } of passes) clearTimeout(timer);
    later(tellAfterMs, () => {
      for (const engine of engines) engine.info = { ...engine.info, state: forGood ? 'gone' : 'lost' };
      for (const engine of engines) this.#change(engine, {}, error);
    });
    later(failAfterMs, () => {
      for (const { reject } of passes) reject(error);
    });
    if (backAfterMs < Infinity) later(tellAfterMs + backAfterMs, () => engines.forEach(({ info }) => this.back(info.engine)));
  }

  /** Ready, for the first time or again. */
  back(index: number): void {
    const engine = this.#engine(index);
    const { restarts } = engine.info;
    if (engine.dead) this.#change(engine, { state: 'starting', restarts: restarts + 1 });
    engine.dead = false;
    engine.busyUntilMs = 0;
    engine.cached = new Set();
    this.#change(engine, { state: 'ready' });
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const { underWay, info } of this.#engines) {
      for (const { timer, reject } of underWay) {
        clearTimeout(timer);
        reject(new RankError(info.engine, 'was ended'));
      }
      underWay.clear();
    }
  }

  #engine(index: number): FakeEngine {
    return this.#engines[index] as FakeEngine;
  }

  #change(engine: FakeEngine, change: Partial<EngineInfo>, error?: RankError): void {
    engine.info = { ...engine.info, ...change };
    for (const listener of this.#changes) listener(engine.info, error);
  }

  #end(engine: FakeEngine, entry: UnderWay, startMs: number, wallMs: number): void {
    if (entry.work.sequences.some(({ tokens }) => this.options.poisonous?.(tokens))) {
      this.lose(engine.info.engine, this.options.poisonLoss);
      return;
    }
    engine.underWay.delete(entry);
    entry.resolve(this.#answer(engine, entry.work, { startEpochMs: startMs, wallMs }));
  }

  /** Whole blocks that an earlier pass had are taken from the cache, as long as the last token and what is scored is computed. */
  #cachedTokens(engine: FakeEngine, { tokens, scored = 0 }: PassSequence): number {
    const most = Math.floor((tokens.length - Math.max(1, scored)) / 16);
    const missing = blockHashes(tokens).findIndex((hash) => !engine.cached.has(hash));
    return 16 * Math.min(most, missing < 0 ? Infinity : missing);
  }

  #answer(engine: FakeEngine, work: PassWork, time: Pick<PassStats, 'startEpochMs' | 'wallMs'>): PassAnswer {
    const { sequences, top = 0 } = work;
    const candidates = [...work.candidates];
    const cachedTokens = sequences.map((sequence) => this.#cachedTokens(engine, sequence));
    const materialised = [...new Set(sequences.flatMap(({ tokens }) => [...blockHashes(tokens)]))].filter((hash) => !engine.cached.has(hash));
    for (const hash of materialised) engine.cached.add(hash);
    const scored = sequences.filter((sequence) => (sequence.scored ?? 0) > 0).map((sequence) => fakeScores(sequence.tokens, sequence.scored ?? 0, top));
    return {
      logits: Float32Array.from(sequences.flatMap(({ tokens }) => fakeLogits(tokens, candidates))),
      scores: scored.length === 0 ? null : {
        top,
        normalizers: joined(Float32Array, scored.map(({ normalizers }) => normalizers)), nextLogits: joined(Float32Array, scored.map(({ nextLogits }) => nextLogits)),
        topTokens: joined(Uint32Array, scored.map(({ topTokens }) => topTokens)), topLogits: joined(Float32Array, scored.map(({ topLogits }) => topLogits)),
      },
      cachedTokens,
      cache: { materialised: Float64Array.from(materialised), evicted: new Float64Array(0) },
      stats: {
        pass: this.#passes++, rank: engine.info.engine, sequences: sequences.length, tokens: total(sequences.map(({ tokens }, i) => tokens.length - (cachedTokens[i] as number))),
        flops: total(sequences.map(({ tokens, scored = 0 }, i) => prefillFlops(
          this.options.config, { newTokens: tokens.length - (cachedTokens[i] as number), cachedTokens: cachedTokens[i] as number, candidates: candidates.length, scored }, { lastLayerShortcut: true },
        ))),
        ...time, gatherMs: 2, copyMs: 0, waitedMs: 1, exposedMs: 0.5, hostBytes: 4096, sentBytes: 0, receivedBytes: 4096, transferMs: 2, expertRows: 0, engine: {},
      },
    };
  }
}

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

const joined = <T extends Uint32Array | Float32Array>(type: { from(values: readonly number[]): T }, parts: readonly T[]): T => type.from(parts.flatMap((part) => [...part]));

function later(ms: number, what: () => void): void {
  if (ms === 0) what();
  else setTimeout(what, ms);
}
