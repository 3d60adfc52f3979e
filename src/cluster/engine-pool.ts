/** Engines that take batches one by one, as a server gives them: each rank is one, or, where ranks compute batches together, all are. */
import type { CacheEvents, TokenScores } from '../engine/index.ts';
import type { RankError } from '../errors.ts';
import type { MemoryRow } from '../strategy/memory.ts';
import type { TraceEvent } from '../trace/events.ts';
import type { PassStats } from './messages.ts';

/** One sequence of a pass; see `Sequence` and `TokenScores` of the engine. */
export interface PassSequence {
  readonly tokens: Uint32Array;
  readonly scored?: number;
}

export interface PassWork {
  readonly sequences: readonly PassSequence[];
  /** Tokens whose logits at each sequence's last position are asked for. */
  readonly candidates: Uint32Array;
  /** Most likely tokens told at each scored position. */
  readonly top?: number;
}

export interface PassAnswer {
  /** f32 [sequences, candidates]. */
  readonly logits: Float32Array;
  /** Of all sequences' scored positions; null when none are scored. */
  readonly scores: TokenScores | null;
  /** Tokens of each sequence that were not computed, because an earlier one has the same. */
  readonly cachedTokens: readonly number[];
  /** Blocks, by hash, that came into the engine's prefix cache and that left it when the pass was planned. */
  readonly cache: CacheEvents;
  readonly stats: PassStats;
}

/** `starting`: for the first time, or again after it was lost; `gone`: lost so often in a row that it is not started again. */
export type EngineState = 'starting' | 'ready' | 'lost' | 'gone';

export interface EngineInfo {
  readonly engine: number;
  readonly adapter: string;
  readonly software: boolean;
  readonly pid: number;
  readonly state: EngineState;
  /** Times it was started again. */
  readonly restarts: number;
  /** t_EP: milliseconds of the slowest gather of a layer during warm-up; 0 where nothing is gathered. */
  readonly gatherMs: number;
  /** FLOP/s of the engine in a warm-up pass of a full batch, over everything a pass does; what `--saturation measured` uses. */
  readonly measuredFlopsPerSecond: number;
  /** FLOP/s of the adapter's best dense product, measured; what `--saturation peak` uses. */
  readonly peakFlopsPerSecond: number;
  /** Most KV blocks of one batch, and of the prefix cache (0: none). */
  readonly maxBatchBlocks: number;
  readonly cacheBlocks: number;
  readonly memory: readonly MemoryRow[];
}

export interface EnginePool {
  /** As they are now, by index. */
  readonly engines: readonly EngineInfo[];
  /**
   * Runs one batch. Two may be under way on an engine: the second is recorded while the first computes.
   * @throws RankError when the engine is lost before the answer came (the batch may be given to another engine then), InputError for a batch that no engine can run
   */
  pass(engine: number, work: PassWork): Promise<PassAnswer>;
  /** Told when an engine is lost, when it starts again and when it is ready. @returns ends the subscription */
  onChange(listener: (engine: EngineInfo, error?: RankError) => void): () => void;
  /** Timeline events of passes, on this process's clock, where the pool was opened with tracing. @returns ends the subscription */
  onTrace(listener: (events: readonly TraceEvent[]) => void): () => void;
  /** Ends all engines. */
  close(): Promise<void>;
}
