/**
 * What collectives and gathers of weights carry between rank processes of one machine: `npm run bench:collectives -- --help`.
 *
 * Bus bandwidth as nccl-tests define it: AllGather, ReduceScatter and AllToAll S / t (P - 1) / P, AllReduce S / t 2 (P - 1) / P, where S is the whole
 * on one rank and t the time of the slowest. Beside it, in the same rounds: plain memcpy of S bytes by every rank at once, and a ring of raw TCP
 * streams through Node. A gather brings one layer's experts of all peers into mapped buffers of the device.
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { MEASURED, busFactor, type Timed } from './collectives/jobs.ts';
import { TRANSPORTS } from './collectives/transports.ts';
import { BenchWorld } from './collectives/world.ts';
import { spread } from './measure.ts';
import { commit } from './rig.ts';

const HELP = `npm run bench:collectives -- [flags]
  --ranks N          rank processes (2)
  --sizes LIST       S in KiB (64,256,1024,4096,16384,65536)
  --rounds N         rounds; figures are medians over them (7)
  --sample-ms N      time of one sample (100)
  --threads N        threads of a rank's memcpy beside the gather: as many as a reader of segments uses (4)
  --expert-mib N     bytes of one expert (2); a rank owns --experts of them (16)
  --experts N
  --adapter NAME     whose mapped buffers a gather fills (llvmpipe)
  --skip LIST        of collectives, gather
  --json FILE        writes every sample`;

const flags = process.argv.slice(2);
const { values: args } = parseArgs({
  args: flags,
  options: {
    ranks: { type: 'string', default: '2' }, sizes: { type: 'string', default: '64,256,1024,4096,16384,65536' }, rounds: { type: 'string', default: '7' },
    'sample-ms': { type: 'string', default: '100' }, threads: { type: 'string', default: '4' }, 'expert-mib': { type: 'string', default: '2' }, experts: { type: 'string', default: '16' },
    adapter: { type: 'string', default: 'llvmpipe' }, skip: { type: 'string', default: '' }, json: { type: 'string' }, help: { type: 'boolean', default: false },
  },
});
if (args.help) {
  console.log(HELP);
  process.exit(0);
}

const ranks = Number(args.ranks);
const rounds = Number(args.rounds);
const sizes = args.sizes.split(',').map(Number);
const wrong = sizes.find((kib) => !(kib > 0));
if (wrong !== undefined) {
  console.error(`--sizes: ${args.sizes}: expected numbers of KiB separated by commas`);
  process.exit(2);
}
const skipped = args.skip.split(',');

interface Subject {
  readonly name: string;
  readonly timed: Timed;
  /** Bytes that count, of one iteration. */
  readonly bytes: number;
  readonly iterations: number;
  readonly gbPerSecond: number[];
  /** Of the CPU time of all threads of a rank: what a busy machine does not change. */
  readonly gbPerCpuSecond: number[];
}

/** One sample runs so often that it takes about `--sample-ms`; the first run warms up. */
async function prepare(world: BenchWorld, name: string, timed: Timed, bytes: number): Promise<Subject> {
  await world.time(timed, 2);
  const { ms } = await world.time(timed, 2);
  return { name, timed, bytes, iterations: Math.min(2000, Math.max(2, Math.ceil(Number(args['sample-ms']) / ms))), gbPerSecond: [], gbPerCpuSecond: [] };
}

/** Every subject in turn, round after round. */
async function measure(world: BenchWorld, subjects: readonly Subject[]): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (const { timed, bytes, iterations, gbPerSecond, gbPerCpuSecond } of subjects) {
      const { ms, cpuMs } = await world.time(timed, iterations);
      gbPerSecond.push(bytes / 1e6 / ms);
      gbPerCpuSecond.push(bytes / 1e6 / cpuMs);
    }
  }
}

const median = ({ gbPerSecond }: Subject): number => spread(gbPerSecond).median;
const show = (values: readonly number[]): string => {
  const { median: middle, min, max } = spread(values);
  return `${middle.toFixed(2)} [${min.toFixed(2)}..${max.toFixed(2)}]`;
};
/** Median of the ratios within rounds. */
const ratio = (a: Subject, b: Subject, of: 'gbPerSecond' | 'gbPerCpuSecond' = 'gbPerSecond'): number =>
  spread(a[of].map((value, round) => value / (b[of][round] as number))).median;
const percent = (value: number): string => `${(100 * value).toFixed(0)} %`;

const measured: Subject[][] = [];

async function collectivesOfSize(world: BenchWorld, bytes: number): Promise<string[][]> {
  const memcpy = await prepare(world, `memcpy ${bytes}`, { kind: 'memcpy', bytes, threads: 1 }, bytes);
  const tcp = await prepare(world, `TCP ${bytes}`, { kind: 'tcp', bytes }, bytes);
  const table: Subject[][] = [];
  for (const transport of TRANSPORTS) {
    const row: Subject[] = [];
    for (const operation of MEASURED) {
      row.push(await prepare(world, `${transport} ${operation} ${bytes}`, { kind: 'collective', transport, operation, bytes }, bytes * busFactor(operation, ranks)));
    }
    table.push(row);
  }
  const subjects = [memcpy, tcp, ...table.flat()];
  await measure(world, subjects);
  measured.push(subjects);
  return TRANSPORTS.map((transport, n) => [
    bytes >= 1 << 20 ? `${bytes >> 20} MiB` : `${bytes >> 10} KiB`, transport, ...(table[n] as Subject[]).map((subject) => median(subject).toFixed(2)), median(memcpy).toFixed(2), median(tcp).toFixed(2),
  ]);
}

async function gathers(world: BenchWorld): Promise<string[][]> {
  const shard = { expertsPerRank: Number(args.experts), expertBytes: Number(args['expert-mib']) * 2 ** 20 };
  await world.openShards(shard, args.adapter);
  const bytes = shard.expertsPerRank * shard.expertBytes * (ranks - 1);
  const threads = Number(args.threads);
  const memcpy = await prepare(world, `memcpy, ${threads} threads a rank`, { kind: 'memcpy', bytes, threads }, bytes);
  const single = await prepare(world, 'memcpy, 1 thread a rank', { kind: 'memcpy', bytes, threads: 1 }, bytes);
  const tcp = await prepare(world, 'raw TCP ring through Node', { kind: 'tcp', bytes }, bytes);
  const rows: Subject[] = [];
  for (const transport of TRANSPORTS) rows.push(await prepare(world, `gather over ${transport}`, { kind: 'gather', transport }, bytes));
  await measure(world, [memcpy, single, tcp, ...rows]);
  measured.push([memcpy, single, tcp, ...rows]);
  return [memcpy, single, tcp, ...rows].map((row) => [
    row.name, show(row.gbPerSecond), percent(ratio(row, memcpy)), percent(ratio(row, single)), percent(ratio(row, tcp)), show(row.gbPerCpuSecond), percent(ratio(row, single, 'gbPerCpuSecond')), percent(ratio(row, tcp, 'gbPerCpuSecond')),
  ]);
}

const place = { date: new Date().toISOString().slice(0, 10), command: `npm run bench:collectives -- ${flags.join(' ')}`.trim(), commit: commit(), cpu: `${cpus()[0]?.model.trim() ?? 'unknown'} x ${cpus().length}`, node: process.version };
console.log(`${place.command}\n${ranks} rank processes; ${place.cpu}; Node ${place.node}; commit ${place.commit}; ${place.date}\n`);
const world = await BenchWorld.start(ranks);
const head = (titles: readonly string[]): ConstructorParameters<typeof Table>[0] => ({ head: [...titles], style: { head: [], border: [] } });

if (!skipped.includes('collectives')) {
  const table = new Table(head(['S', 'transport', ...MEASURED, 'memcpy, 1 thread a rank', 'raw TCP ring']));
  for (const kib of sizes) table.push(...(await collectivesOfSize(world, kib * 1024)));
  console.log(`Bus bandwidth in GB/s (medians of ${rounds} rounds)\n${table.toString()}\n`);
}
if (!skipped.includes('gather')) {
  const table = new Table(head(['one layer of all peers, GB/s a rank', 'median [min..max]', 'of memcpy, same threads', 'of memcpy, 1 thread', 'of raw TCP', 'GB / CPU-s', 'of memcpy', 'of raw TCP']));
  table.push(...(await gathers(world)));
  console.log(`Gather of weights into mapped buffers of ${args.adapter}: ${args.experts} experts of ${args['expert-mib']} MiB from each peer\n${table.toString()}`);
}
world.close();
if (args.json !== undefined) writeFileSync(args.json, `${JSON.stringify({ ...place, ranks, measured: measured.flat() }, null, 2)}\n`);
