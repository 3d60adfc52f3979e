/**
 * How long the router takes for one request: `npm run bench:router-speed -- --help`.
 *
 * The table holds `--blocks` resident blocks, dealt out to the engines (`--engines`, a table for each number of them); each request has a prompt of `--tokens` tokens of which none, half or all
 * leading blocks are resident on one engine.
 *   decision  `add` and the `round` that routes it: the walk along the prompt's hashes, the choice, the load, the promises of all blocks that do not
 *             match, and its batch leaves (every request saturates)
 *   answered  `finished` without cache events, before the next decision: the promises are taken back
 *   hashing   what comes before a decision: the hashes of the prompt's blocks
 * With `--queue` so many requests wait, and a decision is `add` of one and the round in which another leaves.
 * Decisions follow one another, as in a burst; with half a millisecond of other work in between, which takes the table out of the processor's caches, one
 * takes about twice as long.
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { blockHashes } from '../src/engine/prefix/block-hash.ts';
import { createScheduler } from '../src/serving/scheduler.ts';
import { SCHEDULERS, type Routable, type ScheduledBatch, type Scheduler } from '../src/serving/scheduling.ts';
import { hashWords } from '../src/sim/random.ts';

const { values: flags } = parseArgs({
  options: {
    blocks: { type: 'string', default: '1000000' },
    engines: { type: 'string', default: '8,1000' },
    tokens: { type: 'string', default: '4096' },
    requests: { type: 'string', default: '5000' },
    kind: { type: 'string', default: 'prefix' },
    queue: { type: 'string', default: '0' },
    help: { type: 'boolean', default: false },
  },
});
const USAGE = 'npm run bench:router-speed -- [--blocks 1000000] [--engines 8,1000] [--tokens 4096] [--requests 5000] [--kind prefix|grouped] [--queue 0]';
const queue = Number(flags.queue);
const kind = SCHEDULERS.find((name) => name === flags.kind);
const fleets = flags.engines.split(',').map(Number);
const [blocks, tokens, requests] = [flags.blocks, flags.tokens, flags.requests].map(Number) as [number, number, number];
if (flags.help || ![blocks, tokens, requests, ...fleets].every((value) => Number.isInteger(value) && value > 0) || !(Number.isInteger(queue) && queue >= 0) || kind === undefined) {
  console.log(USAGE);
  process.exit(flags.help ? 0 : 2);
}

const BLOCK_TOKENS = 16;
const promptBlocks = Math.floor(tokens / BLOCK_TOKENS);
const residentPrompts = Math.ceil(blocks / promptBlocks);
/** Leading tokens that are resident. */
const CASES = { 'no match': 0, 'half match': Math.floor(promptBlocks / 2) * BLOCK_TOKENS, 'full match': tokens };
type Case = keyof typeof CASES;
const NAMES = Object.keys(CASES) as Case[];
const WARM_UP = 500;

/** A prompt of its own for every number; its first `shared` tokens are those of prompt `of`. */
const prompt = (number: number, shared = 0, of = 0): Uint32Array => Uint32Array.from({ length: tokens }, (_, i) => hashWords(i < shared ? of : number, i) % 150_000);

function makeRequest(id: number, hashes: Float64Array): Routable {
  return { id, tokens, hashes, cacheable: Math.floor((tokens - 1) / BLOCK_TOKENS), arrivedMs: 0, flops: (cached) => (tokens - cached) * 1e9 };
}

/** Every engine computes a share of the resident prompts and says that it has them; of the last one only what makes the number of blocks full. */
function fill(scheduler: Scheduler<Routable>, engines: number): void {
  for (let first = 0; first < residentPrompts; first += engines) {
    const resident = Array.from({ length: Math.min(engines, residentPrompts - first) }, (_, i) => makeRequest(first + i, blockHashes(prompt(first + i))));
    for (const request of resident) scheduler.add(request);
    for (const batch of scheduler.round(0, true)) {
      const materialised = batch.requests.map(({ id, hashes }) => hashes.subarray(0, Math.min(promptBlocks, blocks - id * promptBlocks)));
      for (const hashes of materialised) scheduler.finished(batch, { materialised: hashes, evicted: new Float64Array() });
    }
  }
}

const hashing: number[] = [];
const timed = <T>(into: number[], run: () => T): T => {
  const start = performance.now();
  const result = run();
  into.push((performance.now() - start) * 1000);
  return result;
};

/** Microseconds of every request. */
type Samples = Record<Case, { readonly decision: number[]; readonly answered: number[] }>;

function measure(engines: number): { readonly samples: Samples; readonly committed: number[] } {
  const samples: Samples = { 'no match': { decision: [], answered: [] }, 'half match': { decision: [], answered: [] }, 'full match': { decision: [], answered: [] } };
  const scheduler = createScheduler<Routable>({
    kind: kind ?? 'prefix', engines, threshold: 1, batchTokens: Infinity, batchBlocks: Infinity, maxWaitMs: 0, cacheBlocks: blocks, seed: 0,
  });
  fill(scheduler, engines);
  const committed = Array.from({ length: engines }, (_, engine) => scheduler.load(engine).committedBlocks);
  const prepared = Array.from({ length: queue + requests }, (_, i) => {
    const name = NAMES[i % NAMES.length] as Case;
    const words = prompt(residentPrompts + i, CASES[name], hashWords(1, i) % Math.max(1, residentPrompts - 1));
    return { name, request: makeRequest(residentPrompts + i, timed(hashing, () => blockHashes(words))) };
  });
  for (const { request } of prepared.slice(0, queue)) scheduler.add(request);
  const underWay: ScheduledBatch<Routable>[] = scheduler.round(0);
  const caseOf = ({ requests: [first] }: ScheduledBatch<Routable>): Case => prepared[(first as Routable).id - residentPrompts]?.name as Case;
  for (const { request } of prepared.slice(queue)) {
    const answered = underWay.shift();
    if (answered !== undefined) timed(samples[caseOf(answered)].answered, () => scheduler.finished(answered));
    const took: number[] = [];
    const batches = timed(took, () => {
      scheduler.add(request);
      return scheduler.round(0);
    });
    if (batches[0] !== undefined) samples[caseOf(batches[0])].decision.push(...took);
    underWay.push(...batches);
  }
  return { samples, committed };
}

const quantile = (list: readonly number[], q: number): string => {
  const sorted = list.slice(Math.floor(WARM_UP / NAMES.length)).toSorted((a, b) => a - b);
  return (sorted[Math.floor(q * sorted.length)] ?? NaN).toFixed(1);
};

function report(engines: number): void {
  const { samples, committed } = measure(engines);
  const table = new Table({ head: ['us', 'decision, median', 'p99', 'answered, median', 'p99'], style: { head: [], border: [] } });
  for (const name of NAMES) {
    const { decision, answered } = samples[name];
    table.push([name, quantile(decision, 0.5), quantile(decision, 0.99), quantile(answered, 0.5), quantile(answered, 0.99)]);
  }
  console.log(`\n${committed.reduce((sum, count) => sum + count, 0)} resident blocks on ${engines} engines (${Math.min(...committed)} to ${Math.max(...committed)}); prompts of ${tokens} tokens, ${promptBlocks} blocks`);
  console.log(table.toString());
}

console.log(`date     ${new Date().toISOString().slice(0, 10)}`);
console.log(`command  npm run bench:router-speed -- --blocks ${blocks} --engines ${flags.engines} --tokens ${tokens} --requests ${requests} --kind ${kind} --queue ${queue}`);
console.log(`machine  ${cpus()[0]?.model.trim()} x ${cpus().length}; Node ${process.version}`);
for (const engines of fleets) report(engines);
console.log(`hashing a prompt: ${quantile(hashing, 0.5)} us, p99 ${quantile(hashing, 0.99)}`);
