/** `asyncep bench router`: the router's own code on simulated engines, beside other ways to choose an engine. */
import { writeFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { SCHEDULERS } from '../serving/scheduling.ts';
import { hardwareNames } from '../sim/hardware.ts';
import { SIM_STRATEGIES } from '../sim/run-shape.ts';
import { runRouter } from '../sim/serving/run.ts';
import { ORDERS } from '../sim/serving/synthetic.ts';
import { traceOf } from '../sim/trace.ts';
import { workloadNames } from '../sim/workload.ts';
import { writeTrace } from '../trace/chrome-trace.ts';
import { machineFor, prepareRouter, schedulerKind, type RouterFlags, type RouterSetting } from './bench-router-setting.ts';
import { csvText, describeRouter, LEGEND, withGains, worldText, type RouterWorld } from './bench-router-text.ts';
import { commaList, wholeNumber } from './options.ts';
import { checkOutputFile } from './trace-file.ts';

const EXAMPLES = `
The scheduler is the server's own; engines are simulated: a prefix cache (the engines' own index), and every layer of every pass as steps of the ranks'
devices and links: true FLOPs at the rate that the paper reached on the hardware (32 % of its peak), and what travels under the strategy, such as the
experts that a batch below T does not hide. Equal flags give equal figures.

A trace is JSON lines in Mooncake's format: {"timestamp": 27482, "input_length": 1300, "output_length": 52, "hash_ids": [46, 47, 2353]};
an id names 512 tokens and all before them.

Examples:
  $ asyncep bench router
  $ asyncep bench router --engines 1,2,4,8 --order together --csv router.csv
  $ asyncep bench router --strategy ep --schedulers least-loaded --timeline ep.json && asyncep timeline ep.json
  $ asyncep bench router --trace conversation.jsonl --rate 2 --schedulers prefix,least-loaded`;

/** Above zero; `inf`: everything at once. */
function rate(text: string): number {
  const value = text === 'inf' ? Infinity : Number(text);
  if (value > 0) return value;
  throw new InvalidArgumentError('expected a number above zero, or inf');
}

/** A number of at least `least`. */
const number = (least: number) => (text: string): number => {
  const value = Number(text);
  if (Number.isFinite(value) && value >= least && text.trim() !== '') return value;
  throw new InvalidArgumentError(`expected a number of at least ${least}`);
};

/** Adds the command to `bench`. */
export function addBenchRouter(bench: Command): void {
  bench.command('router')
    .description('compare ways to choose an engine for a request: hits, balance, filled batches and throughput, on simulated engines')
    .option('--workload <name>', `the paper's: ${workloadNames.join(', ')}`, 'mixed')
    .option('--requests <n>', 'so many requests, about, in the paper\'s proportions; the paper\'s number when not given, 73800 of mixed', wholeNumber(1))
    .addOption(new Option('--order <order>', 'requests in any order, or siblings (questions on one document) one after the other').choices(ORDERS).default('shuffled'))
    .option('--trace <file>', 'requests of a recorded service instead, see below')
    .option('--rate <factor>', 'how much faster than in the trace requests arrive; inf: all are there at once', rate, Infinity)
    .option('--schedulers <list>', 'which ones, in the order of the table', (text) => commaList(text).map(schedulerKind), [...SCHEDULERS])
    .addOption(new Option('--strategy <name>', 'how ranks share the model: experts come to a rank (asyncep, sync), are all there (resident), or ranks compute batches together').choices(SIM_STRATEGIES).default('asyncep'))
    .option('--engines <list>', 'numbers of ranks, one table each; each is an engine (under tp, tp-ep and pp all are one)', (text) => commaList(text).map(wholeNumber(1)), [8])
    .option('--model <name|dir>', 'whose FLOPs and experts: a preset, or a folder with config.json', 'qwen3-235b-a22b')
    .addOption(new Option('--hardware <name>', 'peak, link and memory').choices(hardwareNames).default('8xh100-fp8'))
    .option('--gather-ms <ms>', 't_EP of a layer, instead of the hardware\'s', number(0))
    .option('--cache-tokens <n>', 'tokens of each engine\'s prefix cache', wholeNumber(0), 131_072)
    .option('--batch-tokens <n>', 'tokens to compute of one batch at most, unless one prompt is longer', wholeNumber(1), 65_536)
    .option('--saturation <rate>', 'F of the threshold: peak, measured, or FLOP/s', 'peak')
    .option('--gamma <factor>', 'of the threshold', number(1), 1.2)
    .option('--max-wait <ms>', 'a batch below the threshold leaves when its oldest request has waited so long', number(0), 1000)
    .option('--seed <n>', 'of the order, and of the random scheduler', wholeNumber(0), 1)
    .option('--timeline <file>', 'write what ranks did in the first passes, for `asyncep timeline`; of one scheduler and one number of engines')
    .option('--timeline-passes <n>', 'how many passes that is (of each rank, where ranks run passes of their own)', wholeNumber(1), 4)
    .option('--json <file>', 'write all figures; equal flags give equal files')
    .option('--csv <file>', 'write the table, a line for each scheduler and number of engines')
    .addHelpText('after', EXAMPLES)
    .action(benchRouter);
}

/** Every scheduler on one number of engines. */
function runWorld(setting: RouterSetting, engines: number): RouterWorld {
  const { flags: { schedulers, cacheTokens, batchTokens, maxWait: maxWaitMs, seed, timeline, timelinePasses }, config, workload } = setting;
  const machine = machineFor(setting, engines);
  const rows = schedulers.map((scheduler) => {
    process.stderr.write(`${engines} ${engines === 1 ? 'engine' : 'engines'}: ${scheduler}\n`);
    const keptPasses = timeline === undefined ? 0 : timelinePasses;
    return { scheduler, engines, ...runRouter({ workload, scheduler, machine, config, cacheTokens, batchTokens, maxWaitMs, seed, keptPasses, clock: () => performance.now() }) };
  });
  return { machine, rows: withGains(rows) };
}

async function benchRouter(flags: RouterFlags): Promise<void> {
  for (const name of ['json', 'csv', 'timeline'] as const) await checkOutputFile(`--${name}`, flags[name]);
  const setting = await prepareRouter(flags);
  process.stdout.write(`${describeRouter(setting).join('\n')}\n`);
  const worlds = [...new Set(flags.engines)].map((engines) => {
    const world = runWorld(setting, engines);
    process.stdout.write(`\n${worldText(world, setting)}\n`);
    return world;
  });
  process.stdout.write(`\n${LEGEND.join('\n')}\n`);
  const schedule = worlds[0]?.rows[0]?.schedule ?? null;
  if (flags.timeline !== undefined && schedule !== null) await writeFile(flags.timeline, JSON.stringify(writeTrace(traceOf(schedule))));
  const { json, csv, timeline: _, timelinePasses: __, ...asked } = flags;
  if (json !== undefined) await writeFile(json, `${JSON.stringify({ flags: { ...asked, rate: String(flags.rate) }, assumptions: describeRouter(setting), worlds: worlds.map(comparable) }, null, 2)}\n`);
  if (csv !== undefined) await writeFile(csv, csvText(worlds));
}

/** Without what this computer's clock said. */
const comparable = ({ machine, rows }: RouterWorld): object =>
  ({ machine, rows: rows.map(({ scheduler, engines, figures, gain }) => ({ scheduler, engines, figures, gain })) });
