/**
 * Ranks on hosts of their own: network namespaces joined by veth pairs that `tc tbf` limits, WebSocket between them. Linux, as root:
 * `npm run bench:hosts -- --help`.
 *
 * Weights of a small random model go round the ring (`asyncep`, `sync`), rows between the same hosts (`ep`), at several rates of the links, in
 * interleaved repetitions; `resident`, for which nothing travels, is the floor. *of the link* is the rate at which a rank's link was used while a
 * transfer was under way: at most 100 %, headers and acknowledgements take the rest.
 */
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { launchCluster, type Cluster, type ClusterOptions, type RunResult } from '../src/cluster/index.ts';
import { parseConfig } from '../src/model/config.ts';
import { createNetwork, networkProblem } from '../test/collective/namespaces.ts';

const { values: flags } = parseArgs({
  options: {
    ranks: { type: 'string', default: '2' }, rates: { type: 'string', default: '5,20,100' }, tokens: { type: 'string', default: '1024' },
    passes: { type: 'string', default: '2' }, repetitions: { type: 'string', default: '3' }, adapter: { type: 'string', default: 'llvmpipe' }, help: { type: 'boolean', default: false },
  },
});
if (flags.help) {
  console.log('npm run bench:hosts -- [--ranks 2] [--rates MB/s,... (5,20,100)] [--tokens of a batch (1024)] [--passes 2] [--repetitions 3] [--adapter NAME]');
  process.exit(0);
}
const problem = networkProblem();
if (problem !== null) {
  console.error(`no network namespaces here: ${problem}; run as root on Linux with iproute2`);
  process.exit(1);
}

const STRATEGIES: readonly ClusterOptions['strategy'][] = ['resident', 'asyncep', 'sync', 'ep'];
const [ranks, tokens, passes, repetitions] = [flags.ranks, flags.tokens, flags.passes, flags.repetitions].map(Number) as [number, number, number, number];
const config = parseConfig({
  model_type: 'qwen3_moe', architectures: ['Qwen3MoeForCausalLM'], vocab_size: 1024, hidden_size: 256, intermediate_size: 512, num_hidden_layers: 4, num_attention_heads: 4,
  num_key_value_heads: 2, head_dim: 64, num_experts: 16, num_experts_per_tok: 4, moe_intermediate_size: 256, norm_topk_prob: true, max_position_embeddings: 4096, torch_dtype: 'bfloat16',
}, 'bench/hosts.ts');
const sequences = Array.from({ length: (ranks * passes * tokens) / 128 }, (_, s) => Uint32Array.from({ length: 128 }, (__, i) => (s * 31 + i * 7919) % config.vocabSize));

const median = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? NaN;
const sum = ({ passes: stats }: RunResult, key: 'sentBytes' | 'receivedBytes' | 'transferMs' | 'exposedMs'): number => stats.reduce((total, pass) => total + pass[key], 0);

async function atRate(megabytes: number): Promise<void> {
  const network = createNetwork({ hosts: ranks, bytesPerSecond: megabytes * 1e6, burstBytes: 64 << 10 });
  const clusters: Cluster[] = [];
  try {
    for (const strategy of STRATEGIES) {
      clusters.push(await launchCluster({
        model: { kind: 'random-config', config: { ...config }, seed: 1 }, ranks, strategy, adapters: [flags.adapter], batchTokens: tokens, transport: 'websocket', hosts: network.hosts, wire: 'f16',
      }));
    }
    const runs = STRATEGIES.map((): RunResult[] => []);
    for (let n = 0; n <= repetitions; n++) {
      for (const [i, cluster] of clusters.entries()) {
        const result = await cluster.run(sequences, Uint32Array.of(1, 2));
        if (n > 0) runs[i]?.push(result); // the first is a warm-up
      }
    }
    print(megabytes, runs);
  } finally {
    await Promise.all(clusters.map((cluster) => cluster.close()));
    network.close();
  }
}

function print(megabytes: number, runs: readonly RunResult[][]): void {
  const floor = median((runs[0] ?? []).map(({ wallMs }) => wallMs));
  const table = new Table({ head: ['strategy', 'ms', 'over resident', 'MB a rank', 'transfer ms', 'exposed ms', 'of the link'], style: { head: [], border: [] } });
  for (const [i, list] of runs.entries()) {
    const of = (key: Parameters<typeof sum>[1]): number => median(list.map((run) => sum(run, key))) / ranks;
    const wallMs = median(list.map((run) => run.wallMs));
    const used = of('transferMs') === 0 ? '-' : `${((of('receivedBytes') / 1e4 / (of('transferMs') / 1000)) / megabytes).toFixed(0)} %`;
    table.push([STRATEGIES[i], wallMs.toFixed(0), (wallMs / floor).toFixed(2), (of('receivedBytes') / 1e6).toFixed(2), of('transferMs').toFixed(0), of('exposedMs').toFixed(0), used]);
  }
  console.log(`\n${ranks} hosts, links of ${megabytes} MB/s, batches of ${tokens} tokens\n${table.toString()}`);
}

for (const rate of flags.rates.split(',').map(Number)) {
  if (!(rate > 0)) throw new RangeError(`--rates: ${flags.rates}: expected numbers of MB/s separated by commas`);
  await atRate(rate);
}
