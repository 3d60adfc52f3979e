import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import type { WorldReport } from '../../src/cli/bench-strategies-report.ts';
import type { ModelConfig } from '../../src/model/types.ts';
import { predictRun } from '../../src/sim/cost.ts';
import { FIXTURE, run, scratch } from './run.ts';

// Takes longer than everything here, and any rate will do.
vi.mock('../../src/node/matmul-rate.ts', () => ({ worldMatmulRate: () => Promise.resolve(20e9) }));

const { folder, file } = scratch();
const bench = (...args: string[]) => run('bench', 'strategies', ...args);

describe('bad input of bench strategies', () => {
  it.each([
    [['--strategies', 'asyncep,magic'], '--strategies: magic: is unknown; expected some of asyncep, sync, resident, ep, dp-tp, tp-ep, tp, pp'],
    [['--ranks', '2,9'], '--ranks: 9 ranks asked for; expected whole numbers from 1 to 8'],
    [['--workload', 'many'], '--workload: many: is unknown; expected mixed, short, medium, long, ultra or a file of JSON lines'],
    [['--workload', 'no-such.jsonl'], 'no-such.jsonl: no such file'],
    [['--link', 'paper:8xb200'], '--link: paper:8xb200: is unknown; expected paper: with 8xa100-bf16, 8xh100-bf16, 8xh100-fp8, 8xh200-fp8'],
    [['--link', 'fast'], '--link: "fast" is not a link; expected a rate above zero and, if wanted, a latency, such as 2GB/s, 1.5GiB/s,0.2ms or 18MB/s,50us'],
    [['--model', FIXTURE, '--layers', '1'], '--layers: changes the shape of the model; expected --random-weights with it'],
    [['--model', 'qwen3-30b-a3b'], '--model: qwen3-30b-a3b: is a shape without weights; expected --random-weights with it, or a folder (qwen3-30b-a3b for one of that name)'],
    [['--html', 'none/x.html'], '--html: none/x.html: cannot be written; expected a file in a folder that exists'],
    [['--context', '131073'], '--context 131073: tokens: 131073 tokens; expected at most 131072 (max_position_embeddings)', ['--workload', 'ultra']],
  ])('%j', async (args, message, more: string[] = []) => {
    const { exitCode, stderr, stdout } = await bench(...args, ...more);
    expect(stderr).toBe(`asyncep: ${message}\n`);
    expect([exitCode, stdout]).toEqual([2, '']);
  });

  it.each([
    ['{"tokens":0}', 'line 1: tokens: expected a number of tokens of at least 1, or a list of token ids'],
    ['{"tokens":5}\n{"tokens":[]}', 'line 2: tokens: expected a number of tokens of at least 1, or a list of token ids'],
    ['{"tokens":5,"prefix":6,"group":"a"}', 'line 1: prefix: expected a prefix no longer than the request'],
    ['{"tokens":5,"prefix":2}', 'line 1: has a prefix but no group; expected "group", so that others can share it'],
    ['{"tokens":[1,2],"prefix":2,"group":1}', 'line 1: prefix: expected no prefix beside a list of token ids, which says itself what it shares'],
    ['{"tokens":5,"text":"a"}', 'line 1: has text; expected "tokens" and, if wanted, "prefix" with "group"'],
    ['7', 'line 1: expected a JSON object'],
    ['{"tokens":[1,2048]}', 'line 1: tokens[1]: expected a token from 0 to 2047, got 2048'],
    ['{"tokens":131073}', 'line 1: tokens: 131073 tokens; expected at most 131072 (max_position_embeddings)'],
  ])('a workload of %s', async (text, message) => {
    const path = file('own.jsonl', text);
    const { exitCode, stderr } = await bench('--workload', path);
    expect(stderr).toBe(`asyncep: ${path}: ${message}\n`);
    expect(exitCode).toBe(2);
  });
});

describe('bench strategies', () => {
  it('measures a small workload of one\'s own on real ranks, and writes JSON, CSV and a page', async () => {
    const workload = file('own.jsonl', ['{"tokens":40,"prefix":16,"group":"a"}', '{"tokens":33,"prefix":16,"group":"a"}', '{"tokens":[1,2,3]}', '{"tokens":20}'].join('\n'));
    const paths = { json: join(folder, 'b.json'), csv: join(folder, 'b.csv'), html: join(folder, 'b.html') };
    const { exitCode, stdout, stderr } = await bench(
      '--model', FIXTURE, '--ranks', '1,2', '--strategies', 'resident,asyncep', '--workload', workload, '--batch-tokens', '48', '--repetitions', '1', '--link', 'none',
      '--json', paths.json, '--csv', paths.csv, '--html', paths.html,
    );
    expect(stderr).toContain('2 ranks: repetition 1 of 1: asyncep');
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`workload ${workload}: 4 requests, 96 tokens, the longest 40\n`);
    const report = JSON.parse(readFileSync(paths.json, 'utf8')) as { worlds: { ranks: number; figures: { strategy: string; tokensPerSecond: number; distance: number | null; predictedMs: number; deviceBytes: number }[] }[] };
    expect(report.worlds.map(({ ranks, figures }) => [ranks, figures.map(({ strategy }) => strategy)])).toEqual([[1, ['resident', 'asyncep']], [2, ['resident', 'asyncep']]]);
    for (const { figures } of report.worlds) {
      expect(figures.map(({ distance }) => distance)).toEqual([null, 0]); // equal to the last bit
      for (const { tokensPerSecond, predictedMs, deviceBytes } of figures) for (const value of [tokensPerSecond, predictedMs, deviceBytes]) expect(value).toBeGreaterThan(0);
    }
    expect(readFileSync(paths.csv, 'utf8').trim().split('\n')).toHaveLength(5);
    expect(readFileSync(paths.html, 'utf8')).not.toMatch(/https?:|<script|<link|url\(|src=/);
  }, 120_000);

  it('sends exactly the bytes that the cost model says', async () => {
    const lengths = [40, 33, 3, 20, 57, 8];
    const workload = file('bytes.jsonl', lengths.map((tokens) => JSON.stringify({ tokens })).join('\n'));
    const json = join(folder, 'bytes.json');
    const strategies = ['asyncep', 'dp-tp', 'tp', 'pp'] as const;
    const { exitCode } = await bench(
      '--model', FIXTURE, '--strategies', strategies.join(), '--workload', workload, '--batch-tokens', '48', '--repetitions', '1', '--link', 'none', '--wire', 'f32', '--json', json,
    );
    expect(exitCode).toBe(0);
    const { config, worlds: [world] } = JSON.parse(readFileSync(json, 'utf8')) as { config: ModelConfig; worlds: [WorldReport] };
    const predicted = strategies.map((strategy) => predictRun({
      config, strategy, ranks: 2, lengths, batchTokens: 48, candidates: 32, flopsPerSecond: 1e9, link: null, wire: 'f32', weightBytes: 4, dispatch: 'rank',
    }).ranks.reduce((sum, { sentBytes }) => sum + sentBytes, 0));
    expect(world.figures.map(({ sentBytesPerRankLayer }) => (sentBytesPerRankLayer as number) * 2 * config.numHiddenLayers)).toEqual(predicted);
    for (const { distance } of world.figures.slice(1)) expect(distance).toBeLessThan(1e-4);
  }, 120_000);
});
