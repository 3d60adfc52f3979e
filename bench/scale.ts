/**
 * How AsyncEP and its router behave from 8 to 1,000 ranks, and what the simulator takes for it: `npm run bench:scale -- --help`.
 *
 * Arrangements of ranks are those of src/sim/topology.ts on nodes of eight H100; the model is Qwen3-235B-A22B in FP8, requests are the paper's mix in
 * random order. docs/scale.md is what comes of it.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { SCHEDULERS, type SchedulerKind } from '../src/serving/scheduling.ts';
import type { RunKind, ScaleSpec } from './scale-spec.ts';
import type { SpeedResult } from './scale-speed.ts';
import type { StudyResult } from './scale-study.ts';
import { runsOf, TABLES, type ScaleFlags, type TableName } from './scale-tables.ts';
import { LEGEND, planTable, speedTable, studyTable, TITLES, type Answer } from './scale-text.ts';

const USAGE = `npm run bench:scale -- [--tables ${TABLES.join(',')}] [--ranks 8,64,256,1000] [--compare-ranks 64] [--requests-per-rank 1000] [--requests 1000000]
  [--scheduler ${SCHEDULERS.join('|')}] [--network 400] [--slow-network 100] [--keep DIR] [--json FILE]
Networks in Gbit/s of each device; --keep: answers of runs stay in DIR, and what is there is not run again. All tables take about half an hour; --requests-per-rank 100 --requests 100000 gives an impression in some minutes.`;

const { values } = parseArgs({
  options: {
    tables: { type: 'string', default: TABLES.join(',') },
    ranks: { type: 'string', default: '8,64,256,1000' },
    'compare-ranks': { type: 'string', default: '64' },
    'requests-per-rank': { type: 'string', default: '1000' },
    requests: { type: 'string', default: '1000000' },
    scheduler: { type: 'string', default: 'grouped' },
    network: { type: 'string', default: '400' },
    'slow-network': { type: 'string', default: '100' },
    keep: { type: 'string' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

function usage(code: number): never {
  console.log(USAGE);
  process.exit(code);
}
const positive = (text: string): number => (Number(text) > 0 ? Number(text) : usage(2));
if (values.help) usage(0);
const tables = values.tables.split(',').map((name) => TABLES.find((known) => known === name) ?? usage(2));
const flags: ScaleFlags = {
  ranks: values.ranks.split(',').map(positive), compareRanks: positive(values['compare-ranks']), requestsPerRank: positive(values['requests-per-rank']), requests: positive(values.requests),
  networkGbits: positive(values.network), slowGbits: positive(values['slow-network']),
  scheduler: SCHEDULERS.find((name): name is SchedulerKind => name === values.scheduler) ?? usage(2),
};

const CHILD = fileURLToPath(new URL('scale-child.ts', import.meta.url));

/** Tables have runs in common. */
const answers = values.keep ?? join(tmpdir(), `asyncep-scale-${process.pid}`);
mkdirSync(answers, { recursive: true });

/** A run in a process of its own: its peak memory is its own, and nothing is left for the next. */
function run<R>(kind: RunKind, spec: ScaleSpec): Answer<R> {
  const args = [kind, JSON.stringify(spec)];
  const file = join(answers, `${createHash('sha1').update(args.join(' ')).digest('hex')}.json`);
  if (!existsSync(file)) {
    process.stderr.write(`${args.join(' ')}\n`);
    writeFileSync(file, execFileSync(process.execPath, [...process.execArgv, CHILD, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }));
  }
  return JSON.parse(readFileSync(file, 'utf8')) as Answer<R>;
}

const report: { table: TableName; runs: { spec: ScaleSpec; result: unknown }[] }[] = [];

function textOf(table: TableName): string {
  if (table === 'plan') return planTable(flags);
  const specs = runsOf(table, flags);
  const keep = <R>(results: R[]): R[] => {
    report.push({ table, runs: specs.map((spec, i) => ({ spec, result: results[i] })) });
    return results;
  };
  return table === 'speed'
    ? speedTable(specs, keep(specs.map((spec) => run<SpeedResult>('speed', spec))))
    : studyTable(specs, keep(specs.map((spec) => run<StudyResult>('study', spec))));
}

console.log(`date     ${new Date().toISOString().slice(0, 10)}`);
console.log(`command  npm run bench:scale ${process.argv.length > 2 ? `-- ${process.argv.slice(2).join(' ')}` : ''}`);
console.log(`machine  ${cpus()[0]?.model.trim()} x ${cpus().length}; Node ${process.version}`);
for (const table of tables) console.log(`\n${table}: ${TITLES[table](flags)}\n${textOf(table)}`);
console.log(`\n${LEGEND}`);
if (values.keep === undefined) rmSync(answers, { recursive: true });
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ flags, tables: report }, null, 2)}\n`);
