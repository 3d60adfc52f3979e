/** N rank processes that share one model: launched together, given batches as they get free, ended together. */
import { MAX_RANKS } from '../collective/partition.ts';
import { sweepStaleSegments } from '../collective/segment-files.ts';
import { InputError } from '../errors.ts';
import { checkKv, checkOffload } from '../strategy/index.ts';
import { jointPasses, splitIntoBatches, type Batch, type JointPass } from './batching.ts';
import { batchTokensOf, jointKind, jointShape } from './joint.ts';
import type { Tuning } from './messages.ts';
import type { Cluster, ClusterOptions, RankInfo, RunOptions, RunResult } from './options.ts';
import type { RankProcess, Reply } from './rank-process.ts';
import { World } from './world.ts';

const NO_LOGITS = new Float32Array(0);

/** @throws InputError for what no world can be */
export function checkOptions({ ranks, strategy, offloadLayers = 0, kv = 'layer' }: ClusterOptions): void {
  if (!Number.isInteger(ranks) || ranks < 1 || ranks > MAX_RANKS) {
    throw new InputError('--ranks', '', `${ranks} ranks asked for; expected a whole number from 1 to ${MAX_RANKS}`);
  }
  checkOffload(strategy, { settings: { offloadLayers } });
  checkKv(strategy, kv);
}

/**
 * Starts the ranks and makes them ready to run.
 * @throws InputError for what cannot be run, AdapterError for a missing adapter, RankError for a rank that fails
 */
export async function launchCluster(options: ClusterOptions): Promise<Cluster> {
  checkOptions(options);
  sweepStaleSegments();
  const world = new World(options);
  const started = await world.start();
  return new RunningCluster(options, world, started.map(({ info }) => info));
}

class RunningCluster implements Cluster {
  #passes = 0;
  #running: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly options: ClusterOptions,
    private readonly world: World,
    readonly ranks: RankInfo[],
  ) {}

  get tuning(): Tuning {
    return this.world.launcher.tuning;
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
    const kind = jointKind(this.options);
    if (kind === null) {
      await this.#share(splitIntoBatches(lengths, batchTokensOf(this.options), this.options.ranks), async (process, batch) => {
        answered(batch, await this.#pass(process, this.#passes++, tokensOf(batch), candidates, null));
      });
    } else {
      const shape = jointShape(kind, this.options, lengths.reduce((sum, length) => sum + length, 0));
      await this.#together(jointPasses(lengths, shape), shape.inFlight, async (pass, joint, together) => {
        const batchLengths = joint.map((batch) => batch.map((index) => lengths[index] as number));
        await this.world.all(async (process) => {
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
    const first = this.world.all((process) => lane(process, 0));
    const second = this.world.all((process) => lane(process, this.options.ranks));
    await Promise.all([first, second]);
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
    return process.ask({ type: 'pass', pass, sequences, candidates, scored: null, top: 0, lengths, together }, 'result', `running pass ${pass}`);
  }

  close(): Promise<void> {
    return this.world.close('ranks');
  }
}
