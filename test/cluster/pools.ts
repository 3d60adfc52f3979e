/** Pools of ranks without a device, and what tests do with them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach } from 'vitest';
import { launchEnginePool, type EngineInfo, type EnginePool, type EnginePoolOptions, type PassWork } from '../../src/cluster/index.ts';
import { ranksOf } from './faults.ts';

const FAKE = new URL('./fake-backend.ts', import.meta.url).href;
/** Generous: ranks that start on a busy machine take their time. */
const WAIT_MS = 60_000;

export const fakePool = (rest: Partial<EnginePoolOptions> = {}): Promise<EnginePool> => launchEnginePool({
  model: { kind: 'random', preset: 'none', seed: 0 }, ranks: 3, strategy: 'asyncep', backendModule: FAKE, restartPauseMs: 20, ...rest,
});

/**
 * What opens pools is to go through the function that this gives: each is closed at the end of its test, and then nothing of it may be left.
 * @param segments files of segments that are there
 */
export function poolsOfTests(segments: () => readonly string[]): (opening: Promise<EnginePool>) => Promise<EnginePool> {
  const pools: EnginePool[] = [];
  afterEach(async () => {
    await Promise.all(pools.splice(0).map((pool) => pool.close()));
    const left = [...ranksOf(process.pid), ...segments()];
    if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
  });
  return async (opening) => {
    const pool = await opening;
    pools.push(pool);
    return pool;
  };
}

/** Sequences of two tokens each, the first of which is told. */
export const work = (...first: number[]): PassWork => ({ sequences: first.map((token) => ({ tokens: Uint32Array.of(token, 1) })), candidates: Uint32Array.of(1, 2) });

/** What fake ranks answer: first tokens of the sequences, as logits. */
export const firstTokens = (logits: Float32Array): number[] => Array.from({ length: logits.length / 5 }, (_, row) => logits[5 * row] as number);

export const problem = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'none', (error: Error) => `${error.name}: ${error.message}`);

/** @throws when it does not come true in time */
export async function until(condition: () => boolean, what: string): Promise<void> {
  for (const end = performance.now() + WAIT_MS; !condition(); await sleep(10)) if (performance.now() > end) throw new Error(`it did not come true in time that ${what}`);
}

export const allReady = (pool: EnginePool): Promise<void> => until(() => pool.engines.every(({ state }) => state === 'ready'), 'all engines are ready');

/** What listeners hear of each engine, in its order: `lost: rank 1: ...`, `starting`, `ready`. */
export function changesOf(pool: EnginePool): (engine: number) => string[] {
  const heard: { readonly info: EngineInfo; readonly text: string }[] = [];
  pool.onChange((info, error) => heard.push({ info, text: error === undefined ? info.state : `${info.state}: ${error.message}` }));
  return (engine) => heard.filter(({ info }) => info.engine === engine).map(({ text }) => text);
}

/** Files that tests make so that something happens in a rank. */
export function signals(): { path(name: string): string; give(name: string): void } {
  const folder = mkdtempSync(join(tmpdir(), 'asyncep-signals-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  return { path: (name) => join(folder, name), give: (name) => writeFileSync(join(folder, name), '') };
}
