import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { launchCluster, type ClusterOptions, type Progress } from '../../src/cluster/index.ts';
import type { TraceEvent } from '../../src/trace/events.ts';

const FAKE = new URL('./fake-backend.ts', import.meta.url).href;

const options = (rest: Partial<ClusterOptions> = {}): ClusterOptions => ({
  model: { kind: 'random', preset: 'none', seed: 0 }, ranks: 2, strategy: 'asyncep', backendModule: FAKE, ...rest,
});
const tokens = (count: number, length = 4): Uint32Array[] => Array.from({ length: count }, (_, i) => new Uint32Array(length).fill(i));
const segments = (): string[] => readdirSync(folder);
const isAlive = (pid: number): boolean => {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ');
  } catch {
    return false;
  }
};
const problem = (promise: Promise<unknown>): Promise<string> =>
  promise.then(() => 'none', (error: Error) => `${error.name}: ${error.message}`);
const waitUntil = async (condition: () => boolean): Promise<void> => {
  for (const end = performance.now() + 10_000; !condition(); await new Promise((resolve) => setTimeout(resolve, 20))) {
    if (performance.now() > end) throw new Error('it did not come true within 10 s');
  }
};

// A folder of our own: other runs on this machine have their segments, too.
const folder = mkdtempSync(join(tmpdir(), 'asyncep-test-'));
process.env['ASYNCEP_SEGMENT_DIR'] = folder;
afterAll(() => rmSync(folder, { recursive: true }));

afterEach(() => {
  if (segments().length > 0) throw new Error(`left behind: ${segments().join(', ')}`);
});

describe('a cluster', () => {
  it('sweeps what dead runs left, then answers every sequence once, in order, from ranks that take batches as they get free', async () => {
    const progress: Progress[] = [];
    const events: TraceEvent[] = [];
    // Left by a rank that was killed together with its coordinator.
    const { pid: dead } = spawnSync(process.execPath, ['-e', '']);
    writeFileSync(join(folder, `asyncep-0123456789ab-${dead}-99-r0.seg`), '');
    const cluster = await launchCluster(options({
      ranks: 3, batchTokens: 8, onProgress: (step) => progress.push(step), onTrace: (batch) => events.push(...batch),
    }));
    expect(segments()).toHaveLength(3);
    expect(cluster.ranks.map(({ rank, adapter, memory }) => [rank, adapter, memory[0]?.name])).toEqual([0, 1, 2].map((rank) => [rank, 'fake', 'slots']));
    const came: number[] = [];
    const startMs = performance.now();
    const result = await cluster.run(tokens(24), Uint32Array.of(1, 2), { onLogits: (sequence) => came.push(sequence) });
    expect(result.logits.map((row) => row[0])).toEqual(Array.from({ length: 24 }, (_, i) => i));
    expect(new Set(result.logits.map((row) => row[1]))).toEqual(new Set([0, 1, 2]));
    expect(result.logits.every((row) => row.length === 5 && row[2] === 0 && row[3] === 2 && row[4] === 2)).toBe(true);
    expect(came.sort((a, b) => a - b)).toEqual(Array.from({ length: 24 }, (_, i) => i));
    expect(result.passes).toHaveLength(12);
    expect(result.passes.reduce((sum, { tokens: count }) => sum + count, 0)).toBe(96);
    // On the shared clock every event lies within the run.
    expect(events).toHaveLength(12);
    for (const { startUs, durationUs } of events) {
      expect(startUs / 1000).toBeGreaterThan(startMs - 5);
      expect((startUs + durationUs) / 1000).toBeLessThan(performance.now() + 5);
    }
    expect(progress.findLast(({ phase }) => phase === 'loading')).toEqual({ phase: 'loading', done: 15, total: 15 });
    expect(progress.at(-1)).toEqual({ phase: 'passes', done: 24, total: 24 });
    // No batch at all; one batch, so that two ranks have none; the whole vocabulary.
    expect((await cluster.run([], null)).logits).toEqual([]);
    expect((await cluster.run(tokens(1), null)).logits[0]?.[4]).toBe(0);
    await cluster.close();
    for (const { pid } of cluster.ranks) expect(isAlive(pid)).toBe(false);
    expect(await problem(cluster.run(tokens(1), null))).toBe('AsyncepError: the ranks have been closed');
  });

  it('has the first rank of each kind of adapter measure for all, once', async () => {
    const cluster = await launchCluster(options({ ranks: 3, adapters: ['a', 'b'], tuning: { other: 1 } }));
    expect(cluster.ranks.map(({ adapter }) => adapter)).toEqual(['a', 'b', 'a']);
    expect(cluster.tuning).toEqual({ other: 1, a: { by: 0 }, b: { by: 1 } });
    await cluster.close();
  });

  it('gives the segments back once every rank holds all experts', async () => {
    const cluster = await launchCluster(options({ strategy: 'resident' }));
    await waitUntil(() => segments().length === 0);
    expect((await cluster.run(tokens(2), null)).logits).toHaveLength(2);
    await cluster.close();
  });

  it('refuses numbers of ranks that cannot be', async () => {
    expect(await problem(launchCluster(options({ ranks: 9 })))).toMatchInlineSnapshot(`"InputError: --ranks: 9 ranks asked for; expected a whole number from 1 to 8"`);
    expect(await problem(launchCluster(options({ engine: { experts: 1 } })))).toMatchInlineSnapshot(`"InputError: --ranks: 2 ranks asked for, but the model has 1 experts a layer; each rank must own at least one"`);
  });
});

describe('a failing rank ends the run with an error that names it', () => {
  const failing = (engine: Record<string, unknown>, rest: Partial<ClusterOptions> = {}): ClusterOptions => options({ engine: { failRank: 1, ...engine }, ...rest });
  const launchProblem = (engine: Record<string, unknown>): Promise<string> => problem(launchCluster(failing(engine)));

  it('when it reports an error', async () => {
    expect(await launchProblem({ failAt: 'prepare' })).toBe('RankError: rank 1: failed at prepare');
  });

  it('when it is killed in the middle of a pass', async () => {
    const cluster = await launchCluster(options({ engine: { slowMs: 2000 } }));
    const pids = cluster.ranks.map(({ pid }) => pid);
    const run = problem(cluster.run(tokens(4), null));
    setTimeout(() => process.kill(pids[1] as number, 'SIGKILL'), 100);
    expect(await run).toBe('RankError: rank 1: ended with signal SIGKILL while running pass 1');
    expect(pids.filter(isAlive)).toEqual([]);
    expect(segments()).toEqual([]);
    expect(await problem(cluster.run(tokens(4), null))).toContain('rank 1: ended with signal SIGKILL');
    await cluster.close();
  });

  it('when it hangs', async () => {
    const cluster = await launchCluster(failing({ hangAt: 'forward' }, { silenceMs: 3000, batchTokens: 4 }));
    expect(await problem(cluster.run(tokens(4), null))).toMatch(/^RankError: rank 1: gave no sign of life for \d\.\d s while running pass 1$/);
    expect(cluster.ranks.filter(({ pid }) => isAlive(pid))).toEqual([]);
  });

  it('when a pass takes too long', async () => {
    const cluster = await launchCluster(options({ ranks: 1, engine: { slowMs: 5000 }, passDeadlineMs: 200 }));
    expect(await problem(cluster.run(tokens(1), null))).toBe('RankError: rank 0: running pass 0 was not over after 0.2 s');
  });

  it('when its segment is damaged, and says what is wrong with it', async () => {
    expect(await launchProblem({ damageAt: 0 })).toMatch(/^RankError: rank 1: segment \S+-r1\.seg: magic: not an expert segment( \(seen by rank 0\))?$/);
    // Layer 4 is the last one, expert 4 the last that rank 1 owns.
    expect(await launchProblem({ damageAt: -300 })).toMatch(/^RankError: rank 1: segment \S+-r1\.seg: layer 4, expert 4: checksum does not match/);
  });

  it('when it reads other weights than its peers', async () => {
    expect(await launchProblem({ failAt: 'hash' })).toBe('RankError: rank 1: reads other weights than rank 0; did the model folder change just now?');
  });
});

describe('when the coordinator is killed', () => {
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  const cluster = new URL('../../src/cluster/index.ts', import.meta.url).href;

  it('its ranks end by themselves and leave nothing behind', async () => {
    const script = `
      import { launchCluster } from ${JSON.stringify(cluster)};
      const cluster = await launchCluster({ model: { kind: 'random', preset: 'none', seed: 0 }, ranks: 2, strategy: 'asyncep', backendModule: ${JSON.stringify(FAKE)} });
      console.log(JSON.stringify(cluster.ranks.map(({ pid }) => pid)));
      setTimeout(() => process.exit(1), 60_000); // should the test be ended before it`;
    const coordinator = spawn(process.execPath, ['--import', tsx, '--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const pids = await new Promise<number[]>((resolve) => coordinator.stdout.once('data', (text) => resolve(JSON.parse(String(text)) as number[])));
    expect(pids.filter(isAlive)).toHaveLength(2);
    expect(segments()).toHaveLength(2);
    coordinator.kill('SIGKILL');
    await waitUntil(() => pids.every((pid) => !isAlive(pid)));
    expect(segments()).toEqual([]);
  });
});
