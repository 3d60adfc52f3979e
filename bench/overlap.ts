/**
 * How much of the gather AsyncEP hides, against the size of the batch: `npm run bench:overlap -- --help`.
 *
 * The same random model runs under `resident` (nothing moves: the floor), `sync` (gather when asked: the ablation) and `asyncep`, in
 * interleaved repetitions of one process tree, so that a noisy machine disturbs all alike; medians are printed.
 *
 *   efficiency  1 - exposed / gather time; exposed = the host waited for a slot while the device had nothing left to do
 *   copy        copies staging -> slot on the device's clock, and how much of that time compute ran beside them on the one queue
 *   with copies  efficiency when the copies beside which nothing computed count as exposed, too
 *   slowdown    time of a pass over resident's: holds everything that hiding costs (copies that wait for compute, shared cores)
 *   threshold   T_batch = L_moe t_EP F gamma (paper section 2; F = the measured matmul rate of a rank, gamma = 1.2)
 */
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { launchCluster, type Cluster, type PassStats } from '../src/cluster/index.ts';
import { parseConfig } from '../src/model/config.ts';
import { worldMatmulRate } from '../src/node/matmul-rate.ts';
import { overlapEfficiency, type Strategy } from '../src/strategy/index.ts';
import { memoryIsAsPlanned } from '../src/strategy/memory.ts';
import type { TraceEvent } from '../src/trace/events.ts';

const { values: flags } = parseArgs({
  options: {
    ranks: { type: 'string', default: '2' },
    adapter: { type: 'string', default: 'llvmpipe' },
    layers: { type: 'string', default: '6' },
    tokens: { type: 'string', default: '1,2,4,8,16,32,64,128,256,512' },
    passes: { type: 'string', default: '4' },
    repetitions: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (flags.help) {
  console.log('npm run bench:overlap -- [--ranks 2] [--adapter NAME] [--layers 6] [--tokens 1,2,4,...] [--passes 4] [--repetitions 3] [--json]');
  process.exit(0);
}

const GAMMA = 1.2;
const STRATEGIES: readonly Strategy[] = ['resident', 'sync', 'asyncep'];
const ranks = Number(flags.ranks);
const layers = Number(flags.layers);
const passes = Number(flags.passes);

/** Wide experts for its attention, so that a layer's gather is worth hiding: 2 x 12.6 MB a layer in bf16. */
const config = parseConfig({
  model_type: 'qwen3_moe', architectures: ['Qwen3MoeForCausalLM'], vocab_size: 2048, hidden_size: 512, intermediate_size: 1024, num_hidden_layers: layers,
  num_attention_heads: 8, num_key_value_heads: 2, head_dim: 64, num_experts: 32, num_experts_per_tok: 4, moe_intermediate_size: 256,
  norm_topk_prob: true, max_position_embeddings: 4096, torch_dtype: 'bfloat16',
}, 'bench/overlap.ts');

const median = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? NaN;
const sum = (stats: readonly PassStats[], key: 'gatherMs' | 'copyMs' | 'exposedMs' | 'flops' | 'hostBytes'): number => stats.reduce((total, pass) => total + pass[key], 0);

/** Intervals on one rank's device clock, by track. */
interface Interval {
  readonly rank: number;
  readonly start: number;
  readonly end: number;
}

/** Share of the copies' time in which the same device computed; NaN without timestamps. */
function besideCompute(events: readonly TraceEvent[]): number {
  const intervals = (wanted: (event: TraceEvent) => boolean): Interval[] =>
    events.filter(wanted).map(({ rank, startUs, durationUs }) => ({ rank, start: startUs, end: startUs + durationUs }));
  const compute = intervals(({ track }) => track === 'compute');
  const copies = intervals(({ args }) => args?.['kind'] === 'copy');
  let [beside, total] = [0, 0];
  for (const copy of copies) {
    total += copy.end - copy.start;
    for (const { rank, start, end } of compute) if (rank === copy.rank) beside += Math.max(0, Math.min(end, copy.end) - Math.max(start, copy.start));
  }
  return beside / total;
}

interface Measured {
  readonly tokens: number;
  readonly strategy: Strategy;
  readonly passMs: number;
  readonly efficiency: number;
  readonly exposedMs: number;
  readonly gatherMs: number;
  readonly copyMs: number;
  readonly besideCompute: number;
  readonly flops: number;
}

/** One repetition: every rank computes `passes` batches of `tokens` tokens. */
async function repetition(cluster: Cluster, strategy: Strategy, tokens: number): Promise<Measured> {
  events.length = 0;
  const sequences = Array.from({ length: passes * ranks }, (_, s) => Uint32Array.from({ length: tokens }, (__, i) => (s * 31 + i * 7919) % config.vocabSize));
  const { passes: stats, wallMs } = await cluster.run(sequences, Uint32Array.of(1, 2));
  const [gatherMs, copyMs, exposedMs] = [sum(stats, 'gatherMs'), sum(stats, 'copyMs'), sum(stats, 'exposedMs')];
  return {
    tokens, strategy, passMs: wallMs / passes, efficiency: overlapEfficiency({ gatherMs, copyMs, exposedMs }),
    exposedMs: exposedMs / stats.length, gatherMs: gatherMs / stats.length,
    copyMs: copyMs / stats.length, besideCompute: besideCompute(events), flops: sum(stats, 'flops') / stats.length,
  };
}

/** Efficiency in the device's eyes: a copy beside which nothing computed is not hidden either. */
const withCopies = ({ exposedMs, copyMs, gatherMs, besideCompute: beside }: Measured): number =>
  Math.max(0, 1 - (exposedMs + copyMs * (1 - beside)) / (gatherMs + copyMs));

const middle = (runs: readonly Measured[]): Measured => {
  const of = (key: 'passMs' | 'efficiency' | 'exposedMs' | 'gatherMs' | 'copyMs' | 'besideCompute'): number => median(runs.map((run) => run[key]));
  return { ...(runs[0] as Measured), passMs: of('passMs'), efficiency: of('efficiency'), exposedMs: of('exposedMs'), gatherMs: of('gatherMs'), copyMs: of('copyMs'), besideCompute: of('besideCompute') };
};

async function measure(clusters: ReadonlyMap<Strategy, Cluster>, tokens: number): Promise<Measured[]> {
  const runs: Measured[] = [];
  for (let n = 0; n < Number(flags.repetitions); n++) {
    for (const [strategy, cluster] of clusters) runs.push(await repetition(cluster, strategy, tokens));
  }
  return STRATEGIES.map((strategy) => middle(runs.filter((run) => run.strategy === strategy)));
}

const flopsPerSecond = (await worldMatmulRate([flags.adapter])) / ranks;
const events: TraceEvent[] = [];
const clusters = new Map<Strategy, Cluster>();
for (const strategy of STRATEGIES) {
  const batchTokens = 1; // a sequence a pass, however long
  clusters.set(strategy, await launchCluster({
    model: { kind: 'random-config', config: { ...config }, seed: 1 }, ranks, strategy, adapters: [flags.adapter], batchTokens,
    onTrace: (batch) => events.push(...batch),
  }));
}
const gatherMs = Math.max(...(clusters.get('asyncep') as Cluster).ranks.map((rank) => rank.gatherMs));
const layersMoe = config.layerIsMoe.filter(Boolean).length;
const threshold = layersMoe * (gatherMs / 1000) * flopsPerSecond * GAMMA;

const all: Measured[] = [];
const table = new Table({ head: ['tokens', 'FLOPs / T', 'resident ms', 'sync ms', 'asyncep ms', 'gather ms', 'exposed ms', 'efficiency', 'sync eff.', 'copy ms', 'beside compute', 'with copies', 'slowdown'], style: { head: [], border: [] } });
for (const tokens of flags.tokens.split(',').map(Number)) {
  const rows = await measure(clusters, tokens);
  all.push(...rows);
  const [resident, sync, asyncep] = rows as [Measured, Measured, Measured];
  const ms = (value: number): string => value.toFixed(1);
  const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
  table.push([
    tokens, (asyncep.flops / threshold).toFixed(2), ms(resident.passMs), ms(sync.passMs), ms(asyncep.passMs), ms(asyncep.gatherMs), ms(asyncep.exposedMs),
    percent(asyncep.efficiency), percent(sync.efficiency), ms(asyncep.copyMs), percent(asyncep.besideCompute), percent(withCopies(asyncep)), (asyncep.passMs / resident.passMs).toFixed(2),
  ]);
}
for (const cluster of clusters.values()) await cluster.close();

const [first] = (clusters.get('asyncep') as Cluster).ranks;
const { adapter = '', memory = [] } = first ?? {};
const memoryTable = new Table({ head: ['memory of rank 0', 'where', 'computed MB', 'allocated MB'], style: { head: [], border: [] } });
for (const { name, where, expectedBytes, allocatedBytes } of memory) memoryTable.push([name, where, (expectedBytes / 1e6).toFixed(3), (allocatedBytes / 1e6).toFixed(3)]);
if (flags.json) {
  console.log(JSON.stringify({ date: new Date().toISOString(), adapter, ranks, layers, gatherMs, flopsPerSecond, threshold, memory, measured: all }, null, 2));
} else {
  console.log(`${ranks} ranks on ${adapter}; ${layersMoe} MoE layers of ${config.numExperts} experts, hidden ${config.hiddenSize}`);
  console.log(`t_EP = ${gatherMs.toFixed(2)} ms (slowest gather of a layer, measured at warm-up); F = ${(flopsPerSecond / 1e9).toFixed(1)} GFLOP/s a rank (measured matmul rate)`);
  console.log(`T_batch = ${layersMoe} x ${gatherMs.toFixed(2)} ms x ${(flopsPerSecond / 1e9).toFixed(1)} GFLOP/s x ${GAMMA} = ${(threshold / 1e9).toFixed(3)} GFLOP`);
  console.log(table.toString());
  console.log(memoryTable.toString());
  console.log(`device memory of every rank is as computed: ${(clusters.get('asyncep') as Cluster).ranks.every((rank) => memoryIsAsPlanned(rank.memory)) ? 'yes' : 'NO'}`);
}
