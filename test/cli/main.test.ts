import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { programArguments } from '../../src/node/program-arguments.ts';
import { FIXTURE, run, scratch, tinyTextModel } from './run.ts';

const MAIN = programArguments(new URL('../../src/cli/main.ts', import.meta.url).href);

const { folder, file } = scratch();
const asyncep = (args: string[], input = '') =>
  spawnSync(process.execPath, [...MAIN, ...args], { encoding: 'utf8', input });

interface Case {
  readonly tokens: number[];
  /** float32 values, little endian, base64 */
  readonly logits: string;
}
const { cases } = JSON.parse(readFileSync(join(FIXTURE, 'cases.json'), 'utf8')) as { cases: Case[] };
const expected = cases.map(({ logits }) => new Float32Array(Uint8Array.from(Buffer.from(logits, 'base64')).buffer));

function relativeError(actual: readonly number[], wanted: Float32Array): number {
  const norm = (values: Iterable<number>): number => Math.sqrt([...values].reduce((sum, value) => sum + value * value, 0));
  return norm(actual.map((value, i) => value - (wanted[i] ?? Number.NaN))) / norm(wanted);
}

describe('asyncep as a process', () => {
  it('writes the logits of every prompt from stdin to stdout, with 2 ranks, as transformers has them', () => {
    const lines = cases.map(({ tokens }, id) => JSON.stringify({ id, tokens })).join('\n');
    const trace = join(folder, 'trace.json');
    const { stdout, stderr, status } = asyncep(['logits', '--model', FIXTURE, '--input', '-', '--ranks', '2', '--trace', trace], lines);
    expect([stderr, status]).toEqual(['', 0]);
    const answers = stdout.trim().split('\n').map((line) => JSON.parse(line) as { id: string; logits: number[] });
    expect(answers.map(({ id }) => Number(id)).toSorted((a, b) => a - b)).toEqual(cases.map((_, index) => index));
    for (const { id, logits } of answers) {
      expect(relativeError(logits, expected[Number(id)] ?? new Float32Array()), `case ${id}`).toBeLessThan(1e-4);
    }
    const { traceEvents } = JSON.parse(readFileSync(trace, 'utf8')) as { traceEvents: { ph: string; pid: number; cat?: string }[] };
    const tracks = new Set(traceEvents.filter(({ ph }) => ph === 'X').map(({ pid, cat }) => `${pid} ${cat}`));
    expect([...tracks]).toEqual(expect.arrayContaining(['0 compute', '0 receive', '1 compute', '1 receive']));
  });

  it('prints a stack under --verbose only', () => {
    const args = ['logits', '--model', 'no-such', '--input', file('t.jsonl', '{"tokens":[1]}')];
    const plain = asyncep(args);
    expect([plain.status, plain.stderr]).toEqual([2, 'asyncep: no-such: no such folder; expected a Hugging Face model folder\n']);
    const verbose = asyncep([...args, '--verbose']);
    expect(verbose.stderr).toContain(plain.stderr);
    expect(verbose.stderr).toMatch(/\n {4}at /);
    expect(verbose.status).toBe(2);
  });
});

describe('answers', () => {
  const config = JSON.parse(readFileSync(join(FIXTURE, 'config.json'), 'utf8')) as object;
  mkdirSync(join(folder, 'texts'));
  const model = ['--model', tinyTextModel(join(folder, 'texts'), { ...config, vocab_size: 4096 }), '--random-weights', '1'];
  const documents = file('documents.jsonl', ['first', 'second', 'third'].map((id) => JSON.stringify({ id, text: `the ${id} text` })).join('\n'));
  const linesOf = (text: string) => text.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);

  it('classify prints JSON lines with probabilities that sum to one, and writes the same to a file', async () => {
    const output = join(folder, 'out.jsonl');
    const { stdout, stderr, exitCode } = await run('classify', ...model, '--labels', 'spam,ham', '--json', '--output', output, documents);
    expect([stderr, exitCode]).toEqual(['', 0]);
    expect(readFileSync(output, 'utf8')).toBe(stdout);
    const answers = linesOf(stdout);
    expect(answers.map(({ id }) => id).toSorted()).toEqual(['first', 'second', 'third']);
    for (const { answer, probability, probabilities } of answers) {
      const { spam = 0, ham = 0 } = probabilities as { spam: number; ham: number };
      expect(spam + ham).toBeCloseTo(1, 6);
      expect(answer).toBe(spam > ham ? 'spam' : 'ham');
      expect(probability).toBe(Math.max(spam, ham));
    }
  });

  it('rerank prints a table in the order of probability, the same numbers as its JSON lines', async () => {
    const args = ['rerank', ...model, '--labels', 'spam,ham', '--query', 'a query', documents];
    const { stdout } = await run(...args);
    const shown = [...stdout.matchAll(/│ (first|second|third) .* (\d+\.\d) % │/g)].map(([, id, percent]) => [id, Number(percent)]);
    const lines = linesOf((await run(...args, '--json')).stdout) as { id: string; probability: number }[];
    const wanted = lines.toSorted((a, b) => b.probability - a.probability).map(({ id, probability }) => [id, Number((probability * 100).toFixed(1))]);
    expect(shown).toEqual(wanted);
    expect(stdout).toMatch(/\n3 answers, [\d,]+ tokens in [\d.]+ s, [\d,]+ tokens\/s\n$/);
  });

  it('verify takes plain text as evidence for a claim', async () => {
    writeFileSync(join(folder, 'evidence.txt'), 'It was late.');
    const { stdout } = await run('verify', ...model, '--labels', 'spam,ham', '--claim', 'The train was late.', '--json', join(folder, 'evidence.txt'));
    const [line] = linesOf(stdout);
    expect(line).toEqual({ id: join(folder, 'evidence.txt'), supported: (line?.['probability'] as number) > 0.5, probability: line?.['probability'] });
  });
});
