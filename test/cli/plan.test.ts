import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hardwarePreset } from '../../src/sim/presets/hardware.ts';
import { FIXTURE, run, scratch } from './run.ts';

const { file } = scratch();
const plan = (...args: string[]) => run('plan', ...args);
const small = ['--model', FIXTURE, '--hardware', 'lavapipe', '--workload', 'short', '--batch-tokens', '1024'];

describe('bad input of plan', () => {
  it.each([
    [['--model', 'gpt-4', '--hardware', 'h100-80'], '--model: gpt-4: is unknown; expected qwen3-30b-a3b, qwen3-235b-a22b, mixtral-8x7b, gpt-oss-120b, deepseek-v3'],
    [['--model', 'deepseek-v3', '--hardware', 'b200'], '--hardware: b200: is unknown; expected a100-80, h100-80, h200-141, rtx-4090, m3-max, rx-7900-xtx, lavapipe, or a file of JSON'],
    [['--model', 'deepseek-v3', '--hardware', 'none.json'], 'none.json: cannot be read; expected a file of JSON'],
    [['--model', 'deepseek-v3', '--hardware', 'm3-max', '--ranks', '2'], '--ranks: 2 devices asked for; expected 1 to 1, as M3 Max has'],
    [['--model', './none', '--hardware', 'h100-80'], './none: no such folder; expected a Hugging Face model folder'],
  ])('%j', async (args, message) => {
    const { exitCode, stderr, stdout } = await plan(...args);
    expect(stderr).toBe(`asyncep: ${message}\n`);
    expect([exitCode, stdout]).toEqual([2, '']);
  });

  it.each([
    [['--gamma', '0.9'], 'expected a number of at least 1'],
    [['--precision', 'int4'], 'Allowed choices are fp32, bf16, fp8'],
    [['--workload', 'huge'], 'Allowed choices are mixed, short, medium, long, ultra'],
  ])('%j', async (args, message) => {
    const { exitCode, stderr } = await plan(...small, ...args);
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
  });

  it('in a machine of one\'s own is told by its field', async () => {
    const path = file('machine.json', JSON.stringify({ ...hardwarePreset('lavapipe'), devices: 1.5 }));
    const { exitCode, stderr } = await plan('--model', FIXTURE, '--hardware', path);
    expect(stderr).toContain(`asyncep: ${path}: devices: `);
    expect(exitCode).toBe(2);
  });
});

describe('asyncep plan', () => {
  it('prints the arithmetic and a row for every strategy', async () => {
    const { exitCode, stdout } = await plan(...small);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('machine   lavapipe on 2 cores, 2 of 2 devices used: F = 7.15 GFLOP/s (bf16), passes reach 85.0 % of it');
    expect(stdout).toMatch(/gather {4}1\/2 x .* \/ 1\.96 GB\/s \+ 0\.1 ms = /);
    for (const strategy of ['asyncep', 'sync', 'resident', 'ep', 'dp-tp', 'tp-ep', 'tp', 'pp']) expect(stdout.match(new RegExp(`^│ ${strategy} `, 'gm'))).toHaveLength(2);
  }, 60_000);

  it('with --json has every figure and its source, and is the machine of the next plan', async () => {
    const first = await plan(...small, '--json');
    const { hardware, work, strategies } = JSON.parse(first.stdout) as { hardware: object; work: { batchTokens: number }; strategies: { strategy: string }[] };
    expect(hardware).toEqual(hardwarePreset('lavapipe'));
    expect(work.batchTokens).toBe(1024);
    expect(strategies).toHaveLength(8);
    const path = file('again.json', JSON.stringify(hardware));
    expect(JSON.parse((await plan(...small.with(3, path), '--json')).stdout)).toEqual(JSON.parse(first.stdout));
  }, 60_000);

  it('by context length has t_EP, T and the tokens that reach it, in the table, the JSON and the page, which needs nothing else', async () => {
    const page = join(dirname(file('unused', '')), 'plan.html');
    const [{ stdout }, { stdout: text }] = [await plan(...small, '--json'), await plan(...small, '--html', page)];
    const { transfer } = JSON.parse(stdout) as { transfer: { transferMs: number; reach: { contextTokens: number; tokens: number }[] } };
    expect(transfer.reach.map(({ contextTokens }) => contextTokens)).toEqual([512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072]);
    const html = readFileSync(page, 'utf8');
    const ms = String(Number(transfer.transferMs.toPrecision(3)));
    for (const { contextTokens, tokens } of transfer.reach) {
      const [context, reached] = [contextTokens, tokens].map((count) => count.toLocaleString('en-US'));
      expect(text).toMatch(new RegExp(`│ ${context} +│ ${ms} +│ [\\d.]+ +│ ${reached} +│`));
      expect(html).toMatch(new RegExp(`<th scope="row">${context}</th><td>${ms}</td><td>[\\d.]+</td><td>${reached}</td>`));
    }
    // A page that asks nobody for anything, with a picture and a table for each part.
    expect(html).not.toMatch(/<script|<link|@import|url\(|src=|href=/);
    expect([...html.matchAll(/<svg [^>]*role="img" aria-labelledby="(\w+)-title \1-text">/g)].map(([, id]) => id)).toEqual(['speed', 'memory', 'threshold', 'curves']);
    expect(html.match(/<table>/g)).toHaveLength(4);
    expect(html).toContain('prefers-color-scheme: dark');
  }, 120_000);

  it('that cannot write its page says so', async () => {
    const { exitCode, stderr } = await plan(...small, '--html', '/nowhere/plan.html');
    expect(stderr).toMatch(/^asyncep: --html: \/nowhere\/plan\.html: cannot be written: ENOENT/);
    expect(exitCode).toBe(2);
  }, 60_000);

  it('takes rates from a bench, and says of a model that the engine cannot run why', async () => {
    const measured = await plan(...small, '--calibrate', 'bench/results/strategies-mixed.json');
    expect(measured.stdout).toContain('F = 9.402 GFLOP/s (fp32, for bf16 weights), passes reach 68.9 % of it');
    const other = await plan('--model', 'deepseek-v3', '--hardware', 'm3-max', '--precision', 'fp8');
    expect(other.stdout).toContain('planned only, the engine does not run it: latent attention (MLA)');
    expect(other.stdout).toContain('asyncep takes more devices than the 1 of the machine for such batches; with --offload 1, 1 device');
  }, 60_000);
});
