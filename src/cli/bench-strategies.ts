/** `asyncep bench strategies`: AsyncEP beside every baseline, on the same model, kernels, transport and link. */
import { writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { launchCluster } from '../cluster/index.ts';
import { InputError } from '../errors.ts';
import { worldMatmulRate } from '../node/matmul-rate.ts';
import { loadTuning, saveTuning } from '../node/tuning-cache.ts';
import { WIRE_BYTES } from '../sim/collectives.ts';
import { hardwareNames } from '../sim/hardware.ts';
import { SIM_STRATEGIES } from '../sim/run-shape.ts';
import { htmlPage } from './bench-strategies-html.ts';
import { reportWorld, type WorldReport } from './bench-strategies-report.ts';
import { achievedRate, runTrials, type RunContext } from './bench-strategies-run.ts';
import { BENCH_MODEL, isPaperLink, linkFor, prepareSetting, type ChosenLink, type Setting, type StrategiesFlags } from './bench-strategies-setting.ts';
import { csvText, describeModel, describeWorkload, LEGEND, worldText } from './bench-strategies-text.ts';
import { commaList, wholeNumber } from './options.ts';
import { checkOutputFile } from './trace-file.ts';
import { WORKLOAD_HELP } from './workload.ts';

const EXAMPLES = `
Workloads: the paper's real mix (mixed) and its synthetic regimes (short, medium, long, ultra), with the paper's longest context of 128K
tokens divided down to --context, and the numbers of requests so that --tokens remain; both factors are printed. A file is taken as it is.

Strategies may be followed by what differs from the flags: ep:expert (a token travels once for each of its experts, as the paper counts),
ep:rank (once for each rank), tp:serial (one pass at a time: nothing hides its transfers).

Links: paper:NAME (${hardwareNames.join(', ')}) gives this machine that one's bytes per FLOP, and prints the arithmetic;
2GB/s,50us is a rate in each direction and a latency; none leaves the transport as fast as it is.

Examples:
  $ asyncep bench strategies
  $ asyncep bench strategies --ranks 1,2,4 --workload long --html strategies.html
  $ asyncep bench strategies --strategies asyncep,ep,ep:expert,ep:expert:serial,tp --link 100MB/s,50us --json strategies.json
  $ asyncep bench strategies --model qwen3-30b-a3b --random-weights 1 --layers 2 --link none`;

/** Adds the command to `bench`. */
export function addBenchStrategies(bench: Command): void {
  bench.command('strategies')
    .description('compare AsyncEP with every other way to share a model: speed, bytes, memory, and what the cost model says')
    .option('--model <dir>', `Hugging Face folder, a preset with --random-weights, or "${BENCH_MODEL}": small, random, made for this`, BENCH_MODEL)
    .option('--random-weights <seed>', 'random weights for the shape of --model', wholeNumber(0))
    .option('--layers <n>', 'with random weights: only the first n layers', wholeNumber(1))
    .option('--ranks <list>', 'numbers of device processes, one table each', (text) => commaList(text).map(wholeNumber(1)), [2])
    .option('--strategies <list>', 'which ones, in the order of the table; logits are compared with the first', commaList, [...SIM_STRATEGIES])
    .option('--workload <name|file>', WORKLOAD_HELP, 'mixed')
    .option('--tokens <n>', 'tokens of the whole workload, about', wholeNumber(1), 8192)
    .option('--context <n>', 'what the paper\'s longest context of 128K tokens becomes', wholeNumber(1), 4096)
    .option('--seed <n>', 'of the prompts and their order', wholeNumber(0), 1)
    .option('--link <spec>', 'what carries bytes between ranks, see below', 'paper:8xa100-bf16')
    .addOption(new Option('--transport <name>', 'how ranks reach each other').choices(['shared-memory', 'websocket']).default('shared-memory'))
    .addOption(new Option('--wire <type>', 'element type of rows that travel').choices(Object.keys(WIRE_BYTES)).default('f16'))
    .addOption(new Option('--dispatch <unit>', 'a token travels once to each rank that has one of its experts, or once for each expert').choices(['rank', 'expert']).default('rank'))
    .option('--batch-tokens <n>', 'tokens of one batch at most, unless one prompt is longer', wholeNumber(1), 1024)
    .option('--repetitions <n>', 'interleaved; medians are reported', wholeNumber(1), 3)
    .option('--adapters <list>', 'parts of adapter names, one per rank in turn (see doctor)', commaList)
    .addOption(new Option('--precision <type>', 'element type of weights; as stored when not given').choices(['f32', 'bf16', 'f16']))
    .option('--json <file>', 'write everything measured')
    .option('--csv <file>', 'write the table, a line for each strategy and number of ranks')
    .option('--html <file>', 'write a page with chart, table and arithmetic')
    .addHelpText('after', EXAMPLES)
    .action(benchStrategies);
}

const tell = (text: string): void => void process.stderr.write(`${text}\n`);

/** What the report has beside the figures. */
interface Machine {
  readonly date: string;
  readonly adapters: readonly string[];
}

/** A link of the paper depends on what this machine reaches. */
async function chooseLink(setting: Setting, context: RunContext, matmulFlopsPerSecond: number): Promise<ChosenLink> {
  if (!isPaperLink(setting.flags.link)) return linkFor(setting, context.ranks, matmulFlopsPerSecond);
  context.tell('measuring what passes reach where nothing travels');
  const { flopsPerSecond, by } = await achievedRate(context, matmulFlopsPerSecond);
  const { link, lines } = linkFor(setting, context.ranks, flopsPerSecond);
  const perRank = (rate: number): string => `${(rate / 1e9).toPrecision(3)} GFLOP/s a rank`;
  return { link, lines: [`F = ${perRank(flopsPerSecond)} (${by}; matmul rate ${perRank(matmulFlopsPerSecond)})`, ...lines] };
}

async function measureWorld(setting: Setting, ranks: number, worldFlopsPerSecond: number, adapters: Set<string>): Promise<WorldReport> {
  const matmulFlopsPerSecond = worldFlopsPerSecond / ranks;
  const context: RunContext = {
    setting, ranks, link: null, tuning: await loadTuning(), tell: (text) => tell(`${ranks} ${ranks === 1 ? 'rank' : 'ranks'}: ${text}`),
    launch: async (options) => {
      const cluster = await launchCluster(options);
      for (const { adapter } of cluster.ranks) adapters.add(adapter);
      return cluster;
    },
  };
  const { link, lines } = await chooseLink(setting, context, matmulFlopsPerSecond);
  context.link = link;
  const { trials, interleaved } = await runTrials(context);
  await saveTuning(context.tuning);
  const [first] = trials;
  if (first !== undefined && trials.every(({ reason }) => reason !== null)) throw new InputError('--strategies', first.variant.label, first.reason ?? '');
  return reportWorld({ setting, ranks, matmulFlopsPerSecond, link, linkLines: lines, interleaved, trials });
}

async function writeReports({ json, csv, html }: StrategiesFlags, setting: Setting, worlds: readonly WorldReport[], { date, adapters }: Machine): Promise<void> {
  const { flags, model: { config }, workload } = setting;
  const { requests, ...scale } = workload;
  const everything = { date, adapters, flags, config, workload: { ...scale, requests: requests.length }, worlds };
  if (json !== undefined) await writeFile(json, `${JSON.stringify(everything, null, 2)}\n`);
  if (csv !== undefined) await writeFile(csv, csvText(worlds));
  if (html !== undefined) await writeFile(html, htmlPage(setting, worlds, date, adapters));
}

async function benchStrategies(flags: StrategiesFlags): Promise<void> {
  for (const name of ['json', 'csv', 'html'] as const) await checkOutputFile(`--${name}`, flags[name]);
  const setting = await prepareSetting(flags);
  process.stdout.write(`${describeModel(setting)}\n${describeWorkload(setting)}\n`);
  tell('measuring the matmul rate');
  const flopsPerSecond = await worldMatmulRate(flags.adapters ?? []);
  const adapters = new Set<string>();
  const worlds: WorldReport[] = [];
  for (const ranks of new Set(flags.ranks)) {
    const world = await measureWorld(setting, ranks, flopsPerSecond, adapters);
    worlds.push(world);
    process.stdout.write(`\n${worldText(world)}\n`);
  }
  process.stdout.write(`\n${LEGEND.join('\n')}\n`);
  await writeReports(flags, setting, worlds, { date: new Date().toISOString(), adapters: [...adapters] });
}
