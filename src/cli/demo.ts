/** `asyncep demo`: real mails, classified by the small model of this package on several ranks under AsyncEP. */
import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { worldMatmulRate } from '../node/matmul-rate.ts';
import { packageRoot } from '../node/shaders.ts';
import { describeDemo } from './demo-report.ts';
import { type InputRecord, readRecords, withIds } from './input.ts';
import { type ChosenModel, chooseModel } from './model-source.ts';
import { commaList, type RunOptions, wholeNumber, WORLD_DEFAULTS } from './options.ts';
import { createProgress, type Progress } from './progress.ts';
import { type MailRecord, mailRecord } from './schemas.ts';
import { openSession, type Session } from './session.ts';
import { judge, prepareTask, promptAll, type TaskFlags, type Verdict } from './task-run.ts';
import { checkTraceFile, saveTrace } from './trace-file.ts';

const EXAMPLES = `
Examples:
  $ asyncep demo
  $ asyncep demo --ranks 4 --mails 100
  $ asyncep demo --adapters llvmpipe,swiftshader     # two vendors, one model`;

const MODEL = join(packageRoot, 'models/spam-mail');

interface DemoFlags {
  readonly ranks: number;
  readonly adapters?: readonly string[];
  readonly mails?: number;
  readonly seconds: number;
  readonly trace: string;
}

/** A held-out mail with its true label. */
export type Mail = InputRecord<MailRecord> & { readonly id: string };

/** Adds the command to the program. */
export function addDemo(program: Command): void {
  program.command('demo')
    .description('classify held-out mails with the small model of this package')
    .option('--ranks <n>', 'device processes', wholeNumber(1), 2)
    .option('--adapters <list>', 'parts of adapter names, one per rank in turn', commaList)
    .option('--mails <n>', 'how many mails; as many as fit into --seconds when not given', wholeNumber(1))
    .option('--seconds <n>', 'time to spend on classifying', wholeNumber(1), 40)
    .option('--trace <file>', 'where the timeline goes', 'trace-demo.json')
    .addHelpText('after', EXAMPLES)
    .action(demo);
}

/** Tokens of one pass: enough to hide the gather of the next layer. */
const BATCH_TOKENS = 4096;

/** Mails of the first passes, by which the rest is chosen. */
const FIRST_MAILS = 24;

const runOptions = ({ ranks, adapters }: DemoFlags): RunOptions & TaskFlags => ({
  model: MODEL, ranks, ...(adapters === undefined ? {} : { adapters }), strategy: 'asyncep', batchTokens: BATCH_TOKENS, ...WORLD_DEFAULTS,
  labels: ['spam', 'ham'], template: join(MODEL, 'template.jinja'),
});

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

/** In the order of a hash of their ids: the file has all ham first, and the first few should be a fair sample. */
async function readMails(): Promise<Mail[]> {
  const mails = withIds(await readRecords([join(MODEL, 'heldout.jsonl')], { schema: mailRecord }));
  const keys = new Map(mails.map(({ id }) => [id, digest(id)]));
  return mails.toSorted((a, b) => ((keys.get(a.id) ?? '') < (keys.get(b.id) ?? '') ? -1 : 1));
}

const tell = (text: string): void => void process.stderr.write(`${text}\n`);

/** Classifies a first few, then as many more as the time allows. */
async function classifyInTime(
  session: Session, ask: (mails: readonly Mail[]) => AsyncIterable<Verdict>, mails: readonly Mail[], flags: DemoFlags,
): Promise<Map<string, Verdict>> {
  const verdicts = new Map<string, Verdict>();
  const classify = async (some: readonly Mail[]): Promise<void> => {
    for await (const verdict of ask(some)) verdicts.set(verdict.id, verdict);
  };
  const first = Math.min(FIRST_MAILS * flags.ranks, flags.mails ?? Infinity, mails.length);
  await classify(mails.slice(0, first));
  const affordable = first * (flags.seconds / session.stats().seconds);
  const count = Math.min(flags.mails ?? Math.floor(affordable), mails.length);
  if (count > first) await classify(mails.slice(first, count));
  return verdicts;
}

async function runDemo(model: ChosenModel, flags: DemoFlags, progress: Progress): Promise<string> {
  const options = runOptions(flags);
  const mails = await readMails();
  const task = await prepareTask('classify', model, { ...options, maxTokens: model.config.maxPositionEmbeddings });
  tell(`starting ${flags.ranks} ranks with ${MODEL}`);
  const session = await openSession(model, options, progress, true);
  try {
    tell(`classifying held-out mails on ${session.rankNames.join(' and ')}`);
    const verdicts = await classifyInTime(session, (some) => judge(session, task, promptAll(task, some)), mails, flags);
    progress.stop();
    await saveTrace(session, flags.trace);
    return await report(session, mails, verdicts, flags);
  } finally {
    await session.close();
  }
}

async function report(session: Session, mails: readonly Mail[], verdicts: ReadonlyMap<string, Verdict>, flags: DemoFlags): Promise<string> {
  const facts = { stats: session.stats(), events: session.trace(), ranks: flags.ranks, timeline: resolve(flags.trace) };
  await session.close(); // the device alone, for its own rate
  return describeDemo({ ...facts, mails, verdicts, matmulFlopsPerSecond: await worldMatmulRate(flags.adapters ?? []) });
}

async function demo(flags: DemoFlags): Promise<void> {
  await checkTraceFile(flags.trace);
  const progress = createProgress();
  try {
    process.stdout.write(await runDemo(await chooseModel({ model: MODEL }), flags, progress));
  } finally {
    progress.stop();
  }
}
