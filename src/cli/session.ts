/** The one place where the command line meets the cluster: a model on its ranks, asked for logits. */
import { type Cluster, launchCluster, type PassStats } from '../cluster/index.ts';
import { overlapEfficiency } from '../strategy/index.ts';
import type { TraceEvent } from '../trace/events.ts';
import { clusterOptions } from './cluster-options.ts';
import type { ChosenModel } from './model-source.ts';
import type { RunOptions } from './options.ts';
import type { Progress } from './progress.ts';
import { saveTuning } from '../node/tuning-cache.ts';

/** A prompt as tokens. */
export interface Sequence {
  readonly id: string;
  readonly tokens: Uint32Array;
}

/** Logits of the last position: of the candidates in their order, or of the whole vocabulary. */
export interface Answer {
  readonly id: string;
  readonly logits: Float32Array;
}

/** Sums over everything that a session has run. */
export interface SessionStats {
  readonly tokens: number;
  /** Wall clock of the passes, without loading and warm-up. */
  readonly seconds: number;
  /** True FLOPs of the passes. */
  readonly flops: number;
  /** 1 - exposed / total gather time, exposed = the device had nothing to do because a layer waited for its experts; 1 where nothing is gathered. */
  readonly overlapEfficiency: number;
  /** Device time of copies staging -> slot, milliseconds over all ranks; 0 unless the session was opened with `trace` on adapters with timestamps. */
  readonly copyMs: number;
}

export interface Session {
  /** Runs the sequences and hands out answers as passes end, in any order. `null` asks for the whole vocabulary. */
  answers(sequences: readonly Sequence[], candidates: readonly number[] | null): AsyncIterable<Answer>;
  stats(): SessionStats;
  /** Events so far; none unless the session was opened with `trace`. */
  trace(): readonly TraceEvent[];
  /** Name of each rank, for the timeline. */
  readonly rankNames: readonly string[];
  close(): Promise<void>;
}

/** Values that are pushed at any time and pulled one by one. */
function channel<T>() {
  const ready: T[] = [];
  let wake = (): void => {};
  return {
    push(value: T): void {
      ready.push(value);
      wake();
    },
    /** Hands out values until `work` has ended and all are taken; fails as `work` fails. */
    async *until(work: Promise<unknown>): AsyncGenerator<T> {
      let over = false;
      const end = work.finally(() => {
        over = true;
        wake();
      });
      end.catch(() => {}); // told below
      while (!over || ready.length > 0) {
        if (ready.length === 0) await new Promise<void>((resolve) => { wake = resolve; });
        else yield* ready.splice(0);
      }
      await end;
    },
  };
}

async function* answersOf(cluster: Cluster, sequences: readonly Sequence[], candidates: readonly number[] | null, log: Log): AsyncGenerator<Answer> {
  const answers = channel<Answer>();
  const onLogits = (index: number, logits: Float32Array): void => answers.push({ id: sequences[index]?.id ?? '', logits });
  const wanted = candidates === null ? null : Uint32Array.from(candidates);
  const run = cluster.run(sequences.map(({ tokens }) => tokens), wanted, { onLogits }).then(({ passes, wallMs }) => {
    log.passes.push(...passes);
    log.wallMs += wallMs;
  });
  yield* answers.until(run);
}

interface Log {
  readonly passes: PassStats[];
  readonly events: TraceEvent[];
  wallMs: number;
}

function statsOf({ passes, wallMs }: Log): SessionStats {
  const sum = (key: 'tokens' | 'flops' | 'gatherMs' | 'copyMs' | 'exposedMs'): number => passes.reduce((total, pass) => total + pass[key], 0);
  return {
    tokens: sum('tokens'),
    seconds: wallMs / 1000,
    flops: sum('flops'),
    copyMs: sum('copyMs'),
    overlapEfficiency: overlapEfficiency({ gatherMs: sum('gatherMs'), copyMs: sum('copyMs'), exposedMs: sum('exposedMs') }),
  };
}

const PHASES = { loading: 'loading', 'warm-up': 'warming up', passes: 'sequences' } as const;

/**
 * Launches the ranks and loads the model.
 * @param trace record events for a timeline
 */
export async function openSession(model: ChosenModel, options: RunOptions, progress: Progress, trace: boolean): Promise<Session> {
  const log: Log = { passes: [], events: [], wallMs: 0 };
  const cluster = await launchCluster({
    ...(await clusterOptions(model, options)),
    onProgress: ({ phase, done, total }) => progress.update(PHASES[phase], done, total),
    ...(trace ? { onTrace: (events: readonly TraceEvent[]) => void log.events.push(...events) } : {}),
  });
  await saveTuning(cluster.tuning);
  return {
    answers: (sequences, candidates) => answersOf(cluster, sequences, candidates, log),
    stats: () => statsOf(log),
    trace: () => log.events,
    rankNames: cluster.ranks.map(({ rank, adapter }) => `rank ${rank}: ${adapter}`),
    close: () => cluster.close(),
  };
}
