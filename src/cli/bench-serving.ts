/** `asyncep bench serving`: ways to choose an engine, on real ranks. */
import { writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { InputError } from '../errors.ts';
import type { SchedulerKind } from '../serving/scheduling.ts';
import type { ServiceSnapshot } from '../serving/service.ts';
import { ORDERS, type Order, siblingsTogether } from '../sim/serving/synthetic.ts';
import { submitWorkload, type SubmitFigures } from '../sim/serving/real.ts';
import { shuffled } from '../sim/random.ts';
import { ownWorkload, tokensOf, type Request } from '../sim/workload.ts';
import { schedulerKind } from './bench-router-setting.ts';
import { formatCount, formatPercent } from './format.ts';
import { chooseModel, type ChosenModel } from './model-source.ts';
import { commaList, type RunOptions, wholeNumber } from './options.ts';
import { createProgress } from './progress.ts';
import { openService } from './serve-open.ts';
import { type SchedulingFlags, servingFlags, withSchedulingOptions } from './serve-options.ts';
import { newTable } from './table.ts';
import { checkOutputFile } from './trace-file.ts';

const EXAMPLES = `
Questions on documents: every prompt is a document and a question, both of random tokens. Each scheduler gets ranks of its own, started anew, and the same
prompts; repetitions take turns. tokens/s counts prompts whole, cached or not.

Examples:
  $ asyncep bench serving --model models/spam-mail --ranks 2
  $ asyncep bench serving --model models/spam-mail --ranks 4 --documents 64 --questions 16 --order together
  $ asyncep bench serving --model models/spam-mail --ranks 2 --link 20MB/s --json serving.json`;

interface ServingBenchFlags extends RunOptions, SchedulingFlags {
  readonly schedulers: readonly SchedulerKind[];
  readonly documents: number;
  readonly questions: number;
  readonly documentTokens: number;
  readonly questionTokens: number;
  readonly order: Order;
  readonly repetitions: number;
  readonly seed: number;
  readonly json?: string;
}

/** What others are compared with. */
const BASE: SchedulerKind = 'least-loaded';

/** Adds the command to `bench`. */
export function addBenchServing(bench: Command): void {
  const command = bench.command('serving').description('compare ways to choose an engine for a request, on the ranks of this machine');
  withSchedulingOptions(command)
    .option('--schedulers <list>', 'which ones, in the order of the table', (text) => commaList(text).map(schedulerKind), ['prefix', BASE])
    .option('--documents <n>', 'documents', wholeNumber(1), 96)
    .option('--questions <n>', 'questions on each', wholeNumber(1), 8)
    .option('--document-tokens <n>', 'tokens of a document', wholeNumber(1), 512)
    .option('--question-tokens <n>', 'tokens of a question', wholeNumber(1), 32)
    .addOption(new Option('--order <order>', 'questions in any order, or those on one document one after the other').choices(ORDERS).default('shuffled'))
    .option('--repetitions <n>', 'runs of each scheduler', wholeNumber(1), 3)
    .option('--seed <n>', 'of tokens and order', wholeNumber(0), 1)
    .option('--json <file>', 'write all figures')
    .addHelpText('after', EXAMPLES)
    .action((flags: ServingBenchFlags, command: Command) => benchServing(servingFlags(flags, command)));
  const scheduler = command.options.find(({ long }) => long === '--scheduler');
  if (scheduler !== undefined) scheduler.hidden = true; // --schedulers says which
}

/** One run of one scheduler. */
interface ServingRun extends SubmitFigures {
  readonly passes: number;
  /** Passes with fewer FLOPs than T, share of all. */
  readonly belowThreshold: number;
  /** Most FLOPs of an engine over their mean. */
  readonly imbalance: number;
}

function promptsOf({ documents, questions, documentTokens, questionTokens, order, seed }: ServingBenchFlags, { config }: ChosenModel) {
  const tokens = documentTokens + questionTokens;
  if (tokens > config.maxPositionEmbeddings) {
    const problem = `${documentTokens} and --question-tokens ${questionTokens} make ${tokens} tokens; expected at most ${config.maxPositionEmbeddings} (max_position_embeddings)`;
    throw new InputError('--document-tokens', '', problem);
  }
  const requests = Array.from({ length: documents * questions }, (_, i): Request => ({ source: 'documents', tokens, prefix: documentTokens, group: Math.floor(i / questions) }));
  const any = shuffled(requests, seed);
  const workload = ownWorkload('documents', order === 'shuffled' ? any : siblingsTogether(any));
  return { ...workload, sequences: workload.requests.map((_, i) => tokensOf(workload, i, config.vocabSize, seed)) };
}

function figuresOf(figures: SubmitFigures, { engines }: ServiceSnapshot): ServingRun {
  const sum = (of: (engine: (typeof engines)[number]) => number): number => engines.reduce((total, engine) => total + of(engine), 0);
  const passes = sum((engine) => engine.passes);
  return {
    ...figures, passes, belowThreshold: sum((engine) => engine.belowThreshold) / passes,
    imbalance: (Math.max(...engines.map(({ flops }) => flops)) * engines.length) / sum(({ flops }) => flops),
  };
}

async function runOnce(model: ChosenModel, flags: ServingBenchFlags, scheduler: SchedulerKind, say: (line: string) => void): Promise<ServingRun> {
  const prompts = promptsOf(flags, model);
  const { service, saturation, warning } = await openService(model, { ...flags, scheduler }, createProgress(), false);
  try {
    say(saturation.arithmetic);
    if (warning !== null) say(warning);
    const candidates = [0, 1];
    const figures = await submitWorkload(prompts, (tokens) => service.submit({ tokens, candidates }), { inFlight: flags.maxQueue, clock: () => performance.now() });
    return figuresOf(figures, service.snapshot());
  } finally {
    await service.close();
  }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] as number;

function tableOf(runs: ReadonlyMap<SchedulerKind, readonly ServingRun[]>): string {
  const base = runs.get(BASE);
  const rows = newTable(['scheduler', 'tokens/s', `/ ${BASE}`, 'range', 'hits', 'max/mean', 'passes', 'below T', 'p50 s', 'p99 s']);
  for (const [scheduler, all] of runs) {
    const of = (pick: (run: ServingRun) => number): number => median(all.map(pick));
    // Runs of one repetition stand beside each other in time: the machine's own speed drops out.
    const ratios = all.map(({ tokensPerSecond }, i) => tokensPerSecond / (base?.[i]?.tokensPerSecond ?? NaN));
    const latency = (share: number): string => (of(({ latencyMs }) => latencyMs.toSorted()[Math.floor(share * (latencyMs.length - 1))] as number) / 1000).toFixed(2);
    rows.push([
      scheduler, formatCount(of((run) => run.tokensPerSecond)), base ? median(ratios).toFixed(2) : '-', base ? `${Math.min(...ratios).toFixed(2)} - ${Math.max(...ratios).toFixed(2)}` : '-',
      formatPercent(of((run) => run.hitRate)), of((run) => run.imbalance).toFixed(3), formatCount(of((run) => run.passes)), formatPercent(of((run) => run.belowThreshold)), latency(0.5), latency(0.99),
    ]);
  }
  return rows.toString();
}

async function benchServing(flags: ServingBenchFlags): Promise<void> {
  await checkOutputFile('--json', flags.json);
  const model = await chooseModel(flags);
  const { documents, questions, documentTokens, questionTokens, order, repetitions, schedulers, ranks, strategy } = flags;
  const tokens = promptsOf(flags, model).tokens;
  process.stdout.write(`${documents} documents of ${documentTokens} tokens, ${questions} questions of ${questionTokens} on each, ${order}: ${formatCount(tokens)} tokens; ${strategy} on ${ranks} ${ranks === 1 ? 'rank' : 'ranks'}\n`);
  const runs = new Map<SchedulerKind, ServingRun[]>(schedulers.map((scheduler) => [scheduler, []]));
  for (let repetition = 1; repetition <= repetitions; repetition++) {
    for (const scheduler of schedulers) {
      const run = await runOnce(model, flags, scheduler, (line) => process.stderr.write(`${line}\n`));
      runs.get(scheduler)?.push(run);
      process.stderr.write(`${repetition} of ${repetitions}, ${scheduler}: ${formatCount(run.tokensPerSecond)} tokens/s, ${formatPercent(run.hitRate)} hits\n`);
    }
  }
  process.stdout.write(`${tableOf(runs)}\nmedians of ${repetitions} runs; / ${BASE}: median of the ratios of runs that stand beside each other\n`);
  if (flags.json !== undefined) await writeFile(flags.json, `${JSON.stringify({ flags: { ...flags }, runs: Object.fromEntries([...runs].map(([scheduler, all]) => [scheduler, all.map((run) => ({ ...run, latencyMs: undefined }))])) }, null, 2)}\n`);
}
