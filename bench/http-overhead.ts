/**
 * What HTTP costs: `npm run bench:http -- --help`.
 *
 * 1. The same mails are classified by the same service on the same engines, in turn
 *      in process  template and tokens as the operation makes them, `Service.submit`, softmax; `--connections` at a time
 *      over HTTP   one POST /v1/classify for each mail, by a client in a process of its own, `--connections` kept alive
 *    Engines run with `--kv layer`, without a cache of prefixes, so that every repetition is the same work. Overhead = time over HTTP / time in process - 1, within
 *    a round; who begins changes from round to round. Answers of both must be equal to the last bit.
 * 2. The server before engines that answer at once: requests a second, and CPU time of the process with the server and of the client. Mails cost their template and
 *    tokens; "token ids" (POST /v1/score with 16 of them) nearly nothing but HTTP. In process: the same requests without HTTP.
 */
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { Command } from 'commander';
import { chooseModel } from '../src/cli/model-source.ts';
import { createProgress } from '../src/cli/progress.ts';
import { openModel, openService } from '../src/cli/serve-open.ts';
import { type ServeFlags, withServeOptions } from '../src/cli/serve-options.ts';
import { softmax } from '../src/model/tasks.ts';
import { createApp } from '../src/serving/http/app.ts';
import { type Listener, openListener } from '../src/serving/http/listener.ts';
import { registerStatusPage } from '../src/serving/http/status-page.ts';
import { createService } from '../src/serving/live-service.ts';
import { createMetrics } from '../src/serving/metrics.ts';
import type { ServedModel } from '../src/serving/operations/operation.ts';
import { taskFor } from '../src/serving/operations/tasks.ts';
import { saturate } from '../src/serving/saturation.ts';
import { createScheduler } from '../src/serving/scheduler.ts';
import type { Service } from '../src/serving/service.ts';
import { showSpread, type Spread, spread } from './measure.ts';
import { Child } from './serving/child.ts';
import { instantPool } from './serving/instant-pool.ts';
import type { Load, Loaded } from './serving/load-client.ts';
import { readMails, SERVED } from './serving/mails.ts';
import type { Asked } from './serving/post.ts';
import { printWhere } from './serving/where.ts';

const { values: flags } = parseArgs({
  options: {
    mails: { type: 'string', default: '200' },
    connections: { type: 'string', default: '64' },
    ranks: { type: 'string', default: '2' },
    repetitions: { type: 'string', default: '7' },
    requests: { type: 'string', default: '4000' },
    'ceiling-only': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const [mailCount, connections, ranks, repetitions, ceilingRequests] = [flags.mails, flags.connections, flags.ranks, flags.repetitions, flags.requests].map(Number) as [number, number, number, number, number];
if (flags.help || ![mailCount, connections, ranks, repetitions, ceilingRequests].every((value) => Number.isInteger(value) && value > 0)) {
  console.log('npm run bench:http -- [--mails 200] [--connections 64] [--ranks 2] [--repetitions 7] [--requests 4000] [--ceiling-only]');
  process.exit(flags.help ? 0 : 2);
}

/** What one run of a list of requests took. */
interface Took {
  readonly wallMs: number;
  /** Of this process, which has the service and the server but neither engines nor client. */
  readonly cpuMs: number;
  /** Of the client's process; 0 in process. */
  readonly clientCpuMs: number;
}

type Question = { readonly kind: 'mail'; readonly text: string } | { readonly kind: 'tokens'; readonly tokens: readonly number[]; readonly labels: readonly number[] };

const asRequest = (question: Question): Asked => (question.kind === 'mail'
  ? { path: '/v1/classify', body: JSON.stringify({ input: question.text }) }
  : { path: '/v1/score', body: JSON.stringify({ query: question.tokens.slice(0, -1), items: [question.tokens.slice(-1)], label_token_ids: question.labels, apply_softmax: true }) });

const parseAnswer = (body: string): readonly number[] => {
  const { data, scores } = JSON.parse(body) as { data?: { probs: number[] }[]; scores?: number[][] };
  return data?.[0]?.probs ?? scores?.[0] ?? [];
};

/** `atOnce` workers, each with the next question as soon as it has its answer. */
async function inProcess(service: Service, model: ServedModel, questions: readonly Question[], atOnce: number): Promise<Took & { readonly answers: readonly (readonly number[])[] }> {
  const answers: number[][] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < questions.length; at = next++) {
      const question = questions[at]!;
      const { tokens, candidates } = question.kind === 'tokens'
        ? { tokens: question.tokens, candidates: question.labels }
        : taskFor({ kind: 'classify', labels: model.labels, template: model.template }, model).prompt({ text: question.text }, 'input');
      answers[at] = softmax((await service.submit({ tokens: Uint32Array.from(tokens), candidates })).logits);
    }
  };
  const [startMs, startCpu] = [performance.now(), process.cpuUsage()];
  await Promise.all(Array.from({ length: atOnce }, worker));
  const { user, system } = process.cpuUsage(startCpu);
  return { wallMs: performance.now() - startMs, cpuMs: (user + system) / 1e3, clientCpuMs: 0, answers };
}

async function overHttp(client: Child<Load, Loaded>, { url }: Listener, questions: readonly Question[], atOnce: number): Promise<Took & { readonly answers: readonly (readonly number[])[] }> {
  const requests = questions.map(asRequest);
  const startCpu = process.cpuUsage();
  const { wallMs, cpuMs: clientCpuMs, bodies } = await client.ask({ url, connections: atOnce, requests });
  const { user, system } = process.cpuUsage(startCpu);
  return { wallMs, cpuMs: (user + system) / 1e3, clientCpuMs, answers: bodies.map(parseAnswer) };
}

/** The server as `asyncep serve` has it. */
async function listen(service: Service, model: ServedModel): Promise<Listener> {
  const listener = await openListener({ host: '127.0.0.1', port: 0, requestTimeoutMs: 60_000, keepAliveMs: 600_000 });
  const app = await createApp({
    service, model, maxBodyBytes: 32 * 2 ** 20, metrics: createMetrics(service), timeoutMs: 600_000, extend: (to) => registerStatusPage(to, service, model),
  });
  listener.serve((request, response) => app.routing(request, response));
  return listener;
}

const percent = ({ median, min, max }: Spread): string => [median, min, max].map((value) => (100 * value).toFixed(1)).join(' [').replace(' [', ' % [').replace(/ \[([^[]*)$/, '..$1]');
const perRequest = (runs: readonly Took[], count: number, key: keyof Took): string => showSpread(spread(runs.map((run) => run[key] / count)));
const rate = (runs: readonly Took[], count: number): string => showSpread(spread(runs.map(({ wallMs }) => (1000 * count) / wallMs)));

const printRows = (head: readonly string[], rows: readonly (readonly string[])[]): void => {
  const table = new Table({ head: [...head], style: { head: [], border: [] } });
  for (const row of rows) table.push([...row]);
  console.log(table.toString());
};

async function overhead(client: Child<Load, Loaded>, serveFlags: ServeFlags): Promise<void> {
  const chosen = await chooseModel(serveFlags);
  const model = await openModel(chosen, serveFlags);
  const { service, pool, saturation } = await openService(chosen, serveFlags, createProgress(), true);
  const listener = await listen(service, model);
  try {
    const questions = readMails(mailCount).map((text): Question => ({ kind: 'mail', text }));
    const local: Took[] = [];
    const remote: Took[] = [];
    for (let round = -1; round < repetitions; round++) {
      const sides = [() => inProcess(service, model, questions, connections), () => overHttp(client, listener, questions, connections)] as const;
      const order = round % 2 === 0 ? [0, 1] as const : [1, 0] as const;
      const took: Awaited<ReturnType<typeof overHttp>>[] = [];
      for (const side of order) took[side] = await sides[side]();
      const [here, there] = took as [typeof took[0], typeof took[0]];
      if (JSON.stringify(here.answers) !== JSON.stringify(there.answers)) throw new Error('answers over HTTP are not those in process');
      if (round < 0) continue; // warms both up
      local.push(here);
      remote.push(there);
    }
    console.log(`\n1. ${mailCount} mails, ${connections} at a time, ${repetitions} rounds; asyncep on ${ranks} ranks of ${pool.engines[0]?.adapter}, --kv layer; ${saturation.arithmetic}`);
    printRows(['', 'mails/s', 'server CPU ms/mail', 'client CPU ms/mail'], [
      ['in process', rate(local, mailCount), perRequest(local, mailCount, 'cpuMs'), ''],
      ['over HTTP', rate(remote, mailCount), perRequest(remote, mailCount, 'cpuMs'), perRequest(remote, mailCount, 'clientCpuMs')],
    ]);
    console.log(`overhead of HTTP: ${percent(spread(remote.map(({ wallMs }, i) => wallMs / local[i]!.wallMs - 1)))}`);
    console.log('answers over HTTP and in process are equal to the last bit');
  } finally {
    await listener.close();
    await service.close();
  }
}

async function ceiling(client: Child<Load, Loaded>, serveFlags: ServeFlags): Promise<void> {
  const chosen = await chooseModel(serveFlags);
  const model = await openModel(chosen, serveFlags);
  const { config } = chosen;
  const pool = instantPool(ranks);
  const saturation = saturate({ engines: pool.engines, moeLayers: config.numHiddenLayers, mode: 'peak', gamma: 1.2, largestBatch: { tokens: 1, flops: 1 } });
  const service = createService({ pool, config, saturation, scheduler: 'prefix', batchTokens: 4096, maxWaitMs: 0, maxWaiting: 8192, createScheduler });
  const listener = await listen(service, model);
  const mails = readMails(ceilingRequests).map((text): Question => ({ kind: 'mail', text }));
  const tokens = mails.map((_, i): Question => ({ kind: 'tokens', tokens: Array.from({ length: 16 }, (__, at) => (i * 31 + at * 7) % config.vocabSize), labels: [670, 2466] }));
  const rows: string[][] = [];
  for (const [name, questions] of [['mails', mails], ['token ids', tokens]] as const) {
    const cases = {
      'in process, 1000 at a time': () => inProcess(service, model, questions, 1000),
      '1 connection': () => overHttp(client, listener, questions, 1),
      '1000 connections': () => overHttp(client, listener, questions, 1000),
    };
    const runs = new Map<string, Took[]>();
    for (let round = -1; round < Math.max(1, Math.ceil(repetitions / 2)); round++) {
      for (const [label, run] of Object.entries(cases)) {
        const took = await run();
        if (round >= 0) runs.set(label, [...(runs.get(label) ?? []), took]);
      }
    }
    for (const [label, took] of runs) {
      rows.push([`${name}, ${label}`, rate(took, questions.length), perRequest(took, questions.length, 'cpuMs'), label.startsWith('in') ? '' : perRequest(took, questions.length, 'clientCpuMs')]);
    }
  }
  console.log(`\n2. engines that answer at once, ${ceilingRequests} requests a run`);
  printRows(['', 'requests/s', 'server CPU ms/request', 'client CPU ms/request'], rows);
  await listener.close();
  await service.close();
}

const serveFlags = withServeOptions(new Command()).parse([...SERVED, '--ranks', String(ranks), '--kv', 'layer'], { from: 'user' }).opts<ServeFlags>();
printWhere('bench:http');
const client = new Child<Load, Loaded>(new URL('./serving/load-client.ts', import.meta.url));
try {
  if (!flags['ceiling-only']) await overhead(client, serveFlags);
  await ceiling(client, serveFlags);
} finally {
  client.close();
}
