/**
 * What the cost model of passes is worth: `npm run bench:calibration -- --help`.
 *
 * Every strategy runs on 1, 2 and 4 ranks over three links with two models, all strategies of a world in turn; each is predicted from the rate that `resident` reached in the
 * same world. A run during which other programs took more than a tenth of the cores is done again. Everything measured is written down, and `--from` predicts it
 * again without running.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { compare } from './calibration/compare.ts';
import { fitOverheads, FITTED_TO } from './calibration/fit.ts';
import { measureWorld, type WorldSpec } from './calibration/measure.ts';
import { measuredJson, type Measured } from './calibration/measured.ts';
import { BENCH_LINKS, BENCH_SHAPES } from './calibration/shapes.ts';
import { comparisonText } from './calibration/text.ts';
import type { Overheads } from '../src/sim/overheads.ts';
import { commit } from './rig.ts';

const { values: flags } = parseArgs({
  options: {
    models: { type: 'string', default: Object.keys(BENCH_SHAPES).join(',') },
    ranks: { type: 'string', default: '1,2,4' },
    links: { type: 'string', default: Object.keys(BENCH_LINKS).join(',') },
    repetitions: { type: 'string', default: '3' },
    attempts: { type: 'string', default: '3' },
    patience: { type: 'string', default: '5' },
    json: { type: 'string' },
    from: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (flags.help) {
  console.log('npm run bench:calibration -- [--models many,wide] [--ranks 1,2,4] [--links none,middle,slow] [--repetitions 3] [--attempts 3] [--patience SECONDS] [--json FILE] [--from FILE]');
  process.exit(0);
}

const tell = (text: string): void => void process.stderr.write(`${text}\n`);

/** On one rank nothing travels: one link is enough. */
function specs(): WorldSpec[] {
  const [models, links] = [flags.models.split(','), flags.links.split(',')];
  return models.flatMap((model) => flags.ranks.split(',').map(Number).flatMap((ranks) =>
    (ranks === 1 ? ['none'] : links).map((link): WorldSpec => ({ model, ranks, link, repetitions: Number(flags.repetitions), attempts: Number(flags.attempts), patienceMs: 1000 * Number(flags.patience) }))));
}

async function measure(): Promise<Omit<Measured, 'overheads'>> {
  const adapters = new Set<string>();
  const worlds = [];
  for (const spec of specs()) worlds.push(await measureWorld(spec, adapters, (text) => tell(`${spec.model}, ${spec.ranks} ranks, link ${spec.link}: ${text}`)));
  return {
    date: new Date().toISOString().slice(0, 10), command: ['npm run bench:calibration', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' '), commit: commit(),
    machine: `${cpus()[0]?.model.trim()} x ${cpus().length}; Node ${process.version}`, adapters: [...adapters], worlds,
  };
}

const runs: Omit<Measured, 'overheads'> = flags.from === undefined ? await measure() : JSON.parse(readFileSync(flags.from, 'utf8'));
const write = (overheads: Overheads | null): void => {
  if (flags.json !== undefined) writeFileSync(flags.json, measuredJson({ ...runs, overheads }));
};
write(null); // nothing that comes after it can lose what was measured
tell(`fitting overheads to ${FITTED_TO}`);
const overheads = fitOverheads(runs.worlds);
write(overheads);
const { date, command, commit: version, machine, adapters, worlds } = runs;
for (const [key, value] of Object.entries({ date, command, commit: version, machine, adapter: adapters.join(' and ') })) console.log(`${key.padEnd(8)} ${value}`);
console.log(`\n${comparisonText(compare(worlds, overheads ?? {}), overheads)}`);
