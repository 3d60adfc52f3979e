/** Runs all strategies in one world after another. */
import { baseShape, median } from '../../src/cli/bench-strategies-report.ts';
import { runTrials, type RunContext, type Trial } from '../../src/cli/bench-strategies-run.ts';
import { prepareSetting, type Setting, type Variant } from '../../src/cli/bench-strategies-setting.ts';
import { promptsOf } from '../../src/cli/workload.ts';
import { launchCluster, type Cluster, type ClusterOptions } from '../../src/cluster/index.ts';
import { rankThreads } from '../../src/cluster/spawn.ts';
import { loadTuning, saveTuning } from '../../src/node/tuning-cache.ts';
import type { Link } from '../../src/collective/link.ts';
import { layerExpertBytes } from '../../src/model/flops.ts';
import { SIM_STRATEGIES } from '../../src/sim/run-shape.ts';
import { ownWorkload } from '../../src/sim/workload.ts';
import { isFitted } from './fit.ts';
import { waitForCalm, watchLoad, type MachineLoad } from './machine-load.ts';
import type { MeasuredRun, MeasuredWorld } from './measured.ts';
import { BENCH_LINKS, BENCH_SHAPES, benchLengths } from './shapes.ts';

export interface WorldSpec {
  readonly model: string;
  readonly ranks: number;
  readonly link: string;
  readonly repetitions: number;
  /** Of a run, when others disturb it. */
  readonly attempts: number;
  /** How long each attempt waits for others to come to rest. */
  readonly patienceMs: number;
}

/** A run during which others took more than this share of the cores is done again; the quietest attempt counts. */
const DISTURBED = 0.1;
const BATCH_TOKENS = 256;
/** Of `resident` once more: more passes for the same FLOPs. */
const SMALL_BATCH_TOKENS = 64;
const SEED = 1;

async function settingOf({ model, ranks, link, repetitions }: WorldSpec): Promise<Setting> {
  const { config, tokens } = BENCH_SHAPES[model]!;
  const setting = await prepareSetting({
    model, ranks: [ranks], strategies: [...SIM_STRATEGIES], workload: 'short', tokens, context: BATCH_TOKENS, seed: SEED, link: 'none', transport: 'shared-memory', wire: 'f16', dispatch: 'rank',
    batchTokens: BATCH_TOKENS, repetitions,
  }, { source: { kind: 'random-config', config: { ...config }, seed: SEED }, config });
  const workload = ownWorkload('lengths', benchLengths(tokens).map((length, group) => ({ source: 'lengths', tokens: length, prefix: 0, group })));
  const small: Variant = { label: `resident with batches of ${SMALL_BATCH_TOKENS}`, strategy: 'resident', batchTokens: SMALL_BATCH_TOKENS };
  return { ...setting, strategies: isFitted({ model, link }) ? [...setting.strategies, small] : setting.strategies, workload, prompts: promptsOf(workload, config, SEED) };
}

/** `cluster`, whose runs are watched; what was seen of them is added to `loads`. The first run only warms up. */
function watched(cluster: Cluster, { attempts, patienceMs }: WorldSpec, loads: MachineLoad[]): Cluster {
  const pids = cluster.ranks.map(({ pid }) => pid);
  let runs = 0;
  return {
    ...cluster,
    get tuning() { return cluster.tuning; },
    async run(...asked) {
      if (runs++ === 0) return cluster.run(...asked);
      for (let best: { readonly result: Awaited<ReturnType<Cluster['run']>>; readonly load: MachineLoad } | undefined, attempt = 1; ; attempt++) {
        await waitForCalm(pids, DISTURBED, patienceMs);
        const end = watchLoad(pids);
        const result = await cluster.run(...asked);
        const load = end();
        if (best === undefined || (load.othersShare ?? 0) < (best.load.othersShare ?? 0)) best = { result, load };
        if ((best.load.othersShare ?? 0) <= DISTURBED || attempt === attempts) {
          loads.push(best.load);
          return best.result;
        }
      }
    },
    close: () => cluster.close(),
  };
}

function runOf({ variant: { batchTokens = BATCH_TOKENS }, strategy, reason, repetitions }: Trial, loads: readonly MachineLoad[]): MeasuredRun {
  return {
    strategy, batchTokens, reason, wallMs: repetitions.map(({ wallMs }) => round(wallMs)), cpuMs: loads.map(({ cpuMs }) => round(cpuMs)),
    othersShare: loads.map(({ othersShare }) => othersShare === null ? null : Number(othersShare.toFixed(3))),
    exposedMs: repetitions.map(({ passes }) => round(passes.reduce((sum, { exposedMs }) => sum + exposedMs, 0))),
  };
}

const keyOf = ({ strategy, batchTokens }: Pick<ClusterOptions, 'strategy' | 'batchTokens'>): string => `${strategy} ${batchTokens}`;

/** To a tenth. */
const round = (ms: number): number => Math.round(ms * 10) / 10;

/** What the transport carries where nothing shapes it: by the gathers of `sync`, beside which nothing computes; null: nothing was gathered. */
function transportLink(trials: readonly Trial[], { model: { config }, weightBytes }: Setting, ranks: number): Link | null {
  const gathersPerPass = config.layerIsMoe.filter(Boolean).length - 1;
  const gathersMs = trials.find(({ strategy }) => strategy === 'sync')?.repetitions.map(({ passes }) => passes.reduce((sum, { gatherMs }) => sum + gatherMs, 0) / (passes.length * gathersPerPass)) ?? [];
  if (ranks === 1 || gathersMs.length === 0) return null;
  return { bytesPerSecond: Math.round((layerExpertBytes(config, weightBytes) * (ranks - 1)) / ranks / (median(gathersMs) / 1000)), latencyMs: 0 };
}

/** @param adapters names of those that ranks ran on are added */
export async function measureWorld(spec: WorldSpec, adapters: Set<string>, tell: (text: string) => void): Promise<MeasuredWorld> {
  const setting = await settingOf(spec);
  const link = BENCH_LINKS[spec.link] ?? null;
  const loads = new Map<string, MachineLoad[]>();
  const launch = async (options: ClusterOptions): Promise<Cluster> => {
    const cluster = await launchCluster(options);
    for (const { adapter } of cluster.ranks) adapters.add(adapter);
    const own: MachineLoad[] = [];
    loads.set(keyOf(options), own);
    return watched(cluster, spec, own);
  };
  const context: RunContext = { setting, ranks: spec.ranks, link, tuning: await loadTuning(), launch, tell };
  const { trials, interleaved } = await runTrials(context);
  await saveTuning(context.tuning);
  const { config: _, strategy: __, flopsPerSecond: ___, overheads: ____, ...shape } = baseShape({ setting, ranks: spec.ranks, link, linkLines: [], matmulFlopsPerSecond: 1, interleaved, trials });
  return { model: spec.model, link: spec.link, shape: { ...shape, link: link ?? transportLink(trials, setting, spec.ranks) }, cores: rankThreads(spec.ranks), runs: trials.map((trial) => runOf(trial, loads.get(keyOf({ batchTokens: BATCH_TOKENS, ...trial.variant })) ?? [])) };
}
