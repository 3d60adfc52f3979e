/** `asyncep batch` on real engines: the same answers as `asyncep classify`, each once, although the run is killed in between. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { programArguments } from '../../src/node/program-arguments.ts';
import { isAlive, ranksOf, segmentsOfTheirOwn } from '../cluster/faults.ts';
import { FIXTURE, run, scratch, tinyTextModel } from './run.ts';

const MAIN = programArguments(new URL('../../src/cli/main.ts', import.meta.url).href);

const { folder, file } = scratch();
segmentsOfTheirOwn();
mkdirSync(join(folder, 'model'));
const config = JSON.parse(readFileSync(join(FIXTURE, 'config.json'), 'utf8')) as object;
const model = ['--model', tinyTextModel(join(folder, 'model'), { ...config, vocab_size: 4096 }), '--random-weights', '1', '--labels', 'spam,ham'];
const texts = Array.from({ length: 300 }, (_, index) => `${'mail '.repeat(1 + index % 50)}${index}`);

interface Line {
  readonly id: string;
  readonly custom_id: string;
  readonly response: { readonly status_code: number; readonly body: { readonly data: readonly [{ readonly probs: readonly number[] }] } };
}

function start(...more: string[]): ChildProcess {
  return spawn(process.execPath, [...MAIN, 'batch', ...model, '--ranks', '2', '--batch-tokens', '128', ...more], { stdio: ['ignore', 'ignore', 'pipe'] });
}

async function grown(path: string, bytes: number): Promise<void> {
  const deadline = Date.now() + 100_000;
  while (!existsSync(path) || statSync(path).size < bytes) {
    if (Date.now() > deadline) throw new Error(`${path} has not grown to ${bytes} bytes`);
    await sleep(5);
  }
}

describe('asyncep batch on two ranks', () => {
  it('answers as classify does, each line once, after kill -9 and --resume', async () => {
    const input = file('requests.jsonl', texts.map((input, index) => JSON.stringify({ custom_id: `mail-${index}`, method: 'POST', url: '/v1/classify', body: { input } })).join('\n'));
    const output = join(folder, 'answers.jsonl');
    const killed = start('--input', input, '--output', output);
    const gone = once(killed, 'close');
    await grown(output, 5_000);
    const ranks = ranksOf(killed.pid as number);
    killed.kill('SIGKILL');
    await gone;
    expect(ranks).toHaveLength(2);
    await expect.poll(() => ranks.filter(isAlive), { timeout: 20_000 }).toEqual([]);
    const before = readFileSync(output, 'utf8');
    expect(before.split('\n').length).toBeLessThan(300);

    const resumed = start('--input', input, '--output', output, '--resume');
    expect(await once(resumed, 'close')).toEqual([0, null]);
    const lines = readFileSync(output, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as Line).toSorted((a, b) => Number(a.id.slice(10)) - Number(b.id.slice(10)));
    expect(lines.map(({ id, custom_id, response }) => [id, custom_id, response.status_code])).toEqual(texts.map((_, index) => [`batch_req_${index + 1}`, `mail-${index}`, 200]));

    const documents = file('documents.jsonl', texts.map((text, id) => JSON.stringify({ id, text })).join('\n'));
    const { stdout } = await run('classify', ...model, '--json', documents);
    const wanted = new Map(stdout.trim().split('\n').map((line) => JSON.parse(line) as { id: string; probabilities: { spam: number } }).map(({ id, probabilities }) => [`mail-${id}`, probabilities.spam]));
    for (const { custom_id, response } of lines) expect(response.body.data[0].probs[0]).toBeCloseTo(wanted.get(custom_id) ?? Number.NaN, 5);
  }, 240_000);
});
