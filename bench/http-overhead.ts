/**
 * What HTTP costs: `npm run bench:http -- --help`.
 *
 * 1. The same mails are classified by the same service on the same engines, in turn
 *      in process  template and tokens as the operation makes them, `Service.submit`, softmax; `--connections` at a time
 *      over HTTP   one POST /v1/classify for each mail, by a client in a process of its own, `--connections` kept alive
 *    Engines run with `--kv layer`, without a cache of prefixes, so that every repetition is the same work, and with short passes: at the end of a repetition one rank waits
 *    for the other's last pass. Overhead is the CPU time that server and client have more over HTTP, of all CPU time in process: on a quiet
 *    machine with software adapters, whose cores ranks, server and client share, all would take so much longer. What the ranks take is the same work and differs with what else
 *    runs; with it, and by wall time, a busy machine shows anything. All within a round; who begins changes. Answers of both must be equal to the last bit.
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
import { createService } from '../src/serving/live-service.ts';
import { saturate } from '../src/serving/saturation.ts';
import { createScheduler } from '../src/serving/scheduler.ts';
import type { Service } from '../src/serving/service.ts';
import { showSpread, type Spread, spread } from './measure.ts';
import { Child } from './serving/child.ts';
import { instantPool } from './serving/instant-pool.ts';
import type { Load, Loaded } from './serving/load-client.ts';
import { readMails, SERVED } from './serving/mails.ts';
import { inProcess, listen, overHttp, type Question, type Took } from './serving/sides.ts';
import { processCpuMs } from './serving/process-cpu.ts';
import { printWhere } from './serving/where.ts';

const { values: flags } = parseArgs({
  options: {
    mails: { type: 'string', default: '200' },
    connections: { type: 'string', default: '64' },
    ranks: { type: 'string', default: '2' },
    repetitions: { type: 'string', default: '7' },
    'batch-tokens': { type: 'string', default: '1024' },
    requests: { type: 'string', default: '1500' },
    'ceiling-only': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const [mailCount, connections, ranks, repetitions, ceilingRequests, batchTokens] = [flags.mails, flags.connections, flags.ranks, flags.repetitions, flags.requests, flags['batch-tokens']].map(Number) as [number, number, number, number, number, number];
if (flags.help || ![mailCount, connections, ranks, repetitions, ceilingRequests, batchTokens].every((value) => Number.isInteger(value) && value > 0)) {
  console.log('npm run bench:http -- [--mails 200] [--connections 64] [--ranks 2] [--repetitions 7] [--batch-tokens 1024] [--requests 1500] [--ceiling-only]');
  process.exit(flags.help ? 0 : 2);
}

const percent = ({ median, min, max }: Spread): string => {
  const [middle, least, most] = [median, min, max].map((value) => (100 * value).toFixed(1));
  return `${middle} % [${least}..${most}]`;
};
const perRequest = <Key extends string>(runs: readonly Readonly<Record<Key, number>>[], count: number, key: Key): string => showSpread(spread(runs.map((run) => run[key] / count)));
const perPass = (runs: readonly Counted[]): string => showSpread(spread(runs.map(({ mailsPerPass }) => mailsPerPass)));
const rate = (runs: readonly Took[], count: number): string => showSpread(spread(runs.map(({ wallMs }) => (1000 * count) / wallMs)));

const printRows = (head: readonly string[], rows: readonly (readonly string[])[]): void => {
  const table = new Table({ head: [...head], style: { head: [], border: [] } });
  for (const row of rows) table.push([...row]);
  console.log(table.toString());
};

interface Counted extends Took {
  readonly mailsPerPass: number;
  /** Of the engines' processes. */
  readonly ranksCpuMs: number;
}

async function counted(service: Service, run: () => Promise<Took>): Promise<Counted> {
  const count = (): { passes: number; cpuMs: number } => {
    const { engines } = service.snapshot();
    return { passes: engines.reduce((sum, { passes }) => sum + passes, 0), cpuMs: engines.reduce((sum, { info }) => sum + processCpuMs(info.pid), 0) };
  };
  const before = count();
  const took = await run();
  const { passes, cpuMs } = count();
  return { ...took, mailsPerPass: mailCount / (passes - before.passes), ranksCpuMs: cpuMs - before.cpuMs };
}

const allCpuMs = ({ cpuMs, clientCpuMs, ranksCpuMs }: Counted): number => cpuMs + clientCpuMs + ranksCpuMs;

async function overhead(client: Child<Load, Loaded>, serveFlags: ServeFlags): Promise<void> {
  const chosen = await chooseModel(serveFlags);
  const model = await openModel(chosen, serveFlags);
  const { service, pool, saturation } = await openService(chosen, serveFlags, createProgress(), true);
  const listener = await listen(service, model);
  try {
    const questions = readMails(mailCount).map((text): Question => ({ kind: 'mail', text }));
    const sides = [() => inProcess(service, model, questions, connections), () => overHttp(client, listener, questions, connections)] as const;
    const [local, remote]: [Counted[], Counted[]] = [[], []];
    for (let round = -1; round < repetitions; round++) {
      const took: Counted[] = [];
      for (const side of round % 2 === 0 ? [0, 1] as const : [1, 0] as const) took[side] = await counted(service, sides[side]);
      const [here, there] = took as [Counted, Counted];
      if (JSON.stringify(here.answers) !== JSON.stringify(there.answers)) throw new Error('answers over HTTP are not those in process');
      if (round < 0) continue; // warms both up
      local.push(here);
      remote.push(there);
    }
    console.log(`\n1. ${mailCount} mails, ${connections} at a time, ${repetitions} rounds; asyncep on ${ranks} ranks of ${pool.engines[0]?.adapter}, --kv layer, --batch-tokens ${batchTokens}; ${saturation.arithmetic}`);
    printRows(['', 'mails/s', 'mails a pass', 'ranks CPU ms/mail', 'server CPU ms/mail', 'client CPU ms/mail'], [
      ['in process', rate(local, mailCount), perPass(local), perRequest(local, mailCount, 'ranksCpuMs'), perRequest(local, mailCount, 'cpuMs'), ''],
      ['over HTTP', rate(remote, mailCount), perPass(remote), perRequest(remote, mailCount, 'ranksCpuMs'), perRequest(remote, mailCount, 'cpuMs'), perRequest(remote, mailCount, 'clientCpuMs')],
    ]);
    const overheads = (of: (there: Counted, here: Counted) => number): string => percent(spread(remote.map((there, i) => of(there, local[i]!))));
    console.log(`overhead of HTTP: CPU time that server and client have more, of all CPU time in process: ${overheads((there, here) => (there.cpuMs + there.clientCpuMs - here.cpuMs) / allCpuMs(here))}`);
    console.log(`                  CPU time with that of the ranks, whose passes are the same: ${overheads((there, here) => allCpuMs(there) / allCpuMs(here) - 1)}; wall time: ${overheads((there, here) => there.wallMs / here.wallMs - 1)}`);
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

const serveFlags = withServeOptions(new Command()).parse([...SERVED, '--ranks', String(ranks), '--kv', 'layer', '--batch-tokens', String(batchTokens)], { from: 'user' }).opts<ServeFlags>();
printWhere('bench:http');
const client = new Child<Load, Loaded>(new URL('./serving/load-client.ts', import.meta.url));
try {
  if (!flags['ceiling-only']) await overhead(client, serveFlags);
  await ceiling(client, serveFlags);
} finally {
  client.close();
}
