/**
 * Whether `asyncep serve` holds out: `npm run bench:soak -- --help`.
 *
 * A server of its own process, a thousand clients in another (serving/soak-client.ts): questions of all operations, each answer compared with what was answered
 * before the load; nonsense; clients that leave; bytes that are no HTTP. Every 20 to 40 s a rank is killed (SIGKILL) or stopped (SIGSTOP). At the end
 *   - every question was answered, rightly and once: no 5xx, no cut connection; 429 is for the client to try again
 *   - the server's counters agree: accepted = answered + withdrawn, none failed, none left
 *   - no leak: memory does not grow after the warm-up (the heap is read after a collection, through the debugger's port); files and resources are those of before the load
 *   - lost ranks were started again, all are ready
 *   - SIGTERM ends the server with 0 and leaves no process and no segment.
 * Exit code 1 when one of these does not hold.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { Child } from './serving/child.ts';
import { SERVED } from './serving/mails.ts';
import { ServedProcess } from './serving/served-process.ts';
import type { Order, Tally } from './serving/soak-client.ts';
import { type Blow, type Sample, sample, scrape, slopePerMinute, strike } from './serving/soak-watch.ts';
import { printWhere } from './serving/where.ts';

const { values: flags } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    ranks: { type: 'string', default: '2' },
    clients: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean', default: false },
  },
});
const [minutes, ranks, clients, seed] = [flags.minutes, flags.ranks, flags.clients, flags.seed].map(Number) as [number, number, number, number];
if (flags.help || !(minutes > 0) || ![ranks, clients, seed].every((value) => Number.isInteger(value) && value > 0)) {
  console.log('npm run bench:soak -- [--minutes 5] [--ranks 2] [--clients 1000] [--seed 1]');
  process.exit(flags.help ? 0 : 2);
}

/** A collection each time, which the server should not be busy with. */
const SAMPLE_MS = 10_000;
/** Samples before this share of the time are the warm-up. */
const WARM_UP = 0.4;
/** What memory may grow by after the warm-up, MiB a minute beyond twice the standard error: requests that wait are memory, too. */
const MAX_SLOPE = 3;
/** What the heap may have more of after the load than before it, MiB: code was compiled, caches that are bounded are full. */
const MAX_LEFT = 12;
const READY_MS = 60_000;

interface Soaked {
  readonly tally: Tally;
  readonly before: Sample;
  readonly samples: readonly Sample[];
  readonly after: Sample;
  readonly blows: readonly Blow[];
}

async function soak(server: ServedProcess, url: string): Promise<Soaked> {
  const client = new Child<Order, Tally | null>(new URL('./serving/soak-client.ts', import.meta.url));
  await client.ask({ url, clients, seconds: minutes * 60, seed });
  const over = new AbortController();
  await sample(server, url, 0); // its connection stays
  await sleep(SAMPLE_MS);
  const before = await sample(server, url, 0);
  const startMs = performance.now();
  const seconds = (): number => (performance.now() - startMs) / 1000;
  const samples: Sample[] = [];
  const watch = async (): Promise<void> => {
    while (await sleep(SAMPLE_MS, true, { signal: over.signal }).catch(() => false)) samples.push(await sample(server, url, seconds()));
  };
  const watching = watch();
  const striking = strike(server, seed, startMs, over.signal);
  try {
    const tally = (await client.ask('run')) as Tally;
    over.abort();
    await watching;
    return { tally, before, samples, blows: await striking, after: await settle(server, url, seconds) };
  } finally {
    over.abort();
    client.close();
  }
}

/** When all ranks are there again and the server has let go of what clients left. */
async function settle(server: ServedProcess, url: string, seconds: () => number): Promise<Sample> {
  for (const end = performance.now() + READY_MS; performance.now() < end; await sleep(500)) if ((await sample(server, url, seconds())).ready === ranks) break;
  await sleep(3000);
  return sample(server, url, seconds());
}

const problems: string[] = [];
/** A line of the result; what does not hold is told at the end. */
function check(holds: boolean, text: string): void {
  console.log(`${holds ? 'ok   ' : 'WRONG'} ${text}`);
  if (!holds) problems.push(text);
}

function printSamples({ before, samples, after }: Soaked): void {
  const table = new Table({ head: ['s', 'RSS MiB', 'heap MiB', 'files', 'resources', 'loop delay p99 ms', 'ranks ready', 'restarts', 'accepted'], style: { head: [], border: [] } });
  const every = Math.max(1, Math.floor(samples.length / 15));
  for (const { seconds, rssMib, heapMib, files, resources, lagMs, ready, restarts, accepted } of [before, ...samples.filter((_, i) => i % every === every - 1), after]) {
    table.push([seconds.toFixed(0), rssMib.toFixed(0), heapMib.toFixed(1), files, resources, lagMs.toFixed(0), ready, restarts, accepted]);
  }
  console.log(table.toString());
}

function judgeAnswers({ tally, blows, after }: Soaked): void {
  const { right, toldToWait, nonsense, rawConnections, left, latencyMs, faults, faultCount } = tally;
  const count = Object.values(right).reduce((sum, each) => sum + each, 0);
  const s = (ms: number): string => (ms / 1000).toFixed(1);
  console.log(`right answers      ${Object.entries(right).map(([path, each]) => `${path} ${each}`).join(', ')}; after ${s(latencyMs.median)} s in the median, ${s(latencyMs.p99)} s at the 99th percentile, ${s(latencyMs.max)} s at most`);
  console.log(`nonsense           ${Object.entries(nonsense).map(([status, each]) => `${status}: ${each}`).join(', ')}; ${rawConnections} connections with bytes that are nearly HTTP`);
  console.log(`left in the middle ${left}; told to come back (429) ${toldToWait}`);
  console.log(`ranks              ${blows.map(({ seconds, signal }) => `${signal} at ${seconds.toFixed(0)} s`).join(', ')}\n`);
  check(count > 0 && faultCount === 0, `${count} questions answered, all rightly; faults: ${faultCount}`);
  for (const fault of faults) console.log(`      ${fault}`);
  // One that starts is given a minute: it may be hit again before it is missed.
  const hit = new Set(blows.map(({ pid }) => pid)).size;
  check(after.ready === ranks && after.restarts >= hit, `${hit} ranks killed or stopped by ${blows.length} signals, ${after.restarts} times one was started again, ${after.ready} of ${ranks} ready`);
}

async function judgeCounters(url: string): Promise<void> {
  const value = await scrape(url);
  const of = (outcome: string): number => value('asyncep_requests_total', `outcome="${outcome}"`);
  const [accepted, answered, failed, cancelled] = [value('asyncep_accepted_requests_total'), of('answered'), of('failed'), of('cancelled')];
  const left = value('asyncep_waiting_requests') + value('asyncep_running_requests');
  check(accepted === answered + cancelled && failed === 0 && left === 0,
    `${accepted} prompts accepted = ${answered} answered + ${cancelled} withdrawn; ${failed} failed, ${left} left; ${of('rejected')} refused, ${value('asyncep_retries_total')} run again`);
}

function judgeLeaks({ before, samples, after }: Soaked): void {
  const warm = samples.filter(({ seconds }) => seconds >= WARM_UP * minutes * 60 && seconds <= minutes * 60);
  const grows = (what: string, of: (each: Sample) => number): void => {
    const { slope, error } = slopePerMinute(warm, of);
    check(slope - 2 * error <= MAX_SLOPE, `${what}: ${slope.toFixed(2)} +- ${(2 * error).toFixed(2)} MiB a minute after the warm-up (at most ${MAX_SLOPE})`);
  };
  grows('heap after a collection, under load', ({ heapMib }) => heapMib);
  grows('RSS', ({ rssMib }) => rssMib);
  check(after.heapMib - before.heapMib <= MAX_LEFT, `heap after a collection: ${before.heapMib.toFixed(1)} MiB before the load, ${after.heapMib.toFixed(1)} after it (at most ${MAX_LEFT} more)`);
  check(after.files <= before.files, `open files: ${before.files} before the load, ${after.files} after it, ${Math.max(...samples.map(({ files }) => files))} at most`);
  check(after.resources <= before.resources + 2, `resources of the event loop: ${before.resources} before, ${after.resources} after`);
  const lags = samples.map(({ lagMs }) => lagMs).toSorted((a, b) => a - b);
  console.log(`      delay of the event loop, 99th percentile of ${SAMPLE_MS / 1000} s, our collections among it: ${lags[lags.length >> 1]?.toFixed(0)} ms in the median, ${lags.at(-1)?.toFixed(0)} ms at most`);
}

async function judgeEnd(server: ServedProcess): Promise<void> {
  server.ranks();
  server.terminate();
  const code = await Promise.race([server.ended, sleep(60_000, 'none within 60 s')]);
  check(code === 0, `exit code after SIGTERM: ${code}`);
  const leftovers = server.leftovers();
  check(leftovers.length === 0, `left behind: ${leftovers.join(', ') || 'nothing'} (of ${server.pidsSeen.size} processes)`);
}

printWhere('bench:soak');
const { server, url } = await ServedProcess.start([...SERVED, '--ranks', String(ranks), '--max-queue', String(Math.ceil(clients * 0.6)), '--prefix-cache', '4MiB', '--max-body', '1MiB']);
console.log(`server   ${server.said.trim().split('\n').join('\n         ')}\n`);
const soaked = await soak(server, url);
printSamples(soaked);
judgeAnswers(soaked);
await judgeCounters(url);
judgeLeaks(soaked);
await judgeEnd(server);
if (problems.length > 0) console.log(`\nwhat the server said:\n${server.said.slice(-4000)}`);
console.log(problems.length === 0 ? '\nthe server held out' : `\n${problems.length} of these do not hold`);
process.exit(problems.length === 0 ? 0 : 1);
