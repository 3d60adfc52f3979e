import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FIXTURE, run, scratch } from './run.ts';

const { folder } = scratch();
const bench = (...args: string[]) => run('bench', 'serving', '--model', FIXTURE, ...args);

describe('bench serving', () => {
  it('runs every scheduler on ranks of its own, and caches what questions on a document share', async () => {
    const json = join(folder, 'serving.json');
    const { exitCode, stdout, stderr } = await bench(
      '--schedulers', 'grouped,least-loaded', '--ranks', '1', '--documents', '3', '--questions', '2', '--document-tokens', '32', '--question-tokens', '8', '--repetitions', '1', '--json', json,
    );
    expect(`${exitCode} ${stderr}`).toMatch(/^0 /);
    expect(stdout).toContain('3 documents of 32 tokens, 2 questions of 8 on each, shuffled: 240 tokens; asyncep on 1 rank\n');
    // Of the second question on each document 32 of 40 tokens are there: 3 x 32 of 240.
    expect(stdout).toMatch(/grouped +│ [\d,]+ +│ \d+\.\d\d +│ \d+\.\d\d - \d+\.\d\d +│ 40\.0 % │ 1\.000 +│/);
    expect(stdout).toMatch(/least-loaded +│ [\d,]+ +│ 1\.00 +│ 1\.00 - 1\.00 +│ 40\.0 % │ 1\.000 +│/);
    const { runs } = JSON.parse(readFileSync(json, 'utf8')) as { runs: Record<string, { cachedTokens: number }[]> };
    expect(Object.values(runs).map((all) => all.map(({ cachedTokens }) => cachedTokens))).toEqual([[96], [96]]);
  }, 120_000);

  it.each([
    [['--document-tokens', '2040', '--question-tokens', '9'], '--document-tokens: 2040 and --question-tokens 9 make 2049 tokens; expected at most 2048 (max_position_embeddings)'],
    [['--schedulers', 'magic'], '--schedulers: magic: is unknown; expected some of prefix, grouped, least-loaded, shortest-prefill-first, random'],
    [['--json', 'none/x.json'], '--json: none/x.json: cannot be written; expected a file in a folder that exists'],
  ])('refuses %j before any rank starts', async (args, message) => {
    const { exitCode, stdout, stderr } = await bench(...args);
    expect(stderr).toBe(`asyncep: ${message}\n`);
    expect([exitCode, stdout]).toEqual([2, '']);
  });
});
