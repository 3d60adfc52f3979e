import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { type BatchFlags, runBatchCommand } from '../../src/cli/batch-run.ts';
import { reportFailure } from '../../src/cli/failure.ts';
import { RankError } from '../../src/errors.ts';
import type { BatchAnswer } from '../../src/serving/batch/format.ts';
import { countLine, fakeService, find, MODEL } from '../serving/batch/fakes.ts';
import { scratch } from './run.ts';

const { folder, file } = scratch();
const output = join(folder, 'answers.jsonl');

/** Runs the command in this process; `opened`: how often engines were started. */
async function batch(flags: Partial<BatchFlags> & { input: string }, service = fakeService()): Promise<{ exitCode: number; stderr: string; opened: number; asked: number }> {
  let [exitCode, stderr, opened] = [0, '', 0];
  const spy = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    stderr += String(text);
    return true;
  });
  try {
    await runBatchCommand({ output, ...flags }, {
      find, room: 4,
      open: async () => {
        opened++;
        return { service, model: MODEL, close: async () => undefined };
      },
    });
  } catch (error) {
    exitCode = reportFailure(error, false);
  } finally {
    spy.mockRestore();
  }
  return { exitCode, stderr, opened, asked: service.asked };
}

const answersIn = (path: string): BatchAnswer[] => readFileSync(path, 'utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line) as BatchAnswer);
const idsIn = (path: string): string[] => answersIn(path).map(({ id }) => id).toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }));
const lines = (count: number, text = 'text'): string => Array.from({ length: count }, (_, index) => `${countLine(index + 1, text)}\n`).join('');
const ids = (count: number): string[] => Array.from({ length: count }, (_, index) => `batch_req_${index + 1}`);

describe('asyncep batch', () => {
  it('answers a file into a file and sums up: tokens are those of the prompts, one of each was cached', async () => {
    const { exitCode, stderr } = await batch({ input: file('in.jsonl', lines(20)), overwrite: true });
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/^20 lines answered, 0 of them failed; 20 requests, 80 tokens \(25\.0 % cached\) in \d+\.\d\d s, [\d,]+ tokens\/s\n$/);
    expect(idsIn(output)).toEqual(ids(20));
  });

  it('exits with 1 when lines failed, although every line has its answer', async () => {
    const { exitCode, stderr } = await batch({ input: file('in.jsonl', `${lines(3)}${countLine(4, 'bad')}\nno json\n`), overwrite: true });
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^5 lines answered, 2 of them failed; .*\nasyncep: 2 of 5 lines failed; their answers say why\n$/);
    expect(idsIn(output)).toEqual(ids(5));
  });

  it('says how to go on when the engines are gone', async () => {
    const flags = { input: file('in.jsonl', lines(20)), output: join(folder, 'gone.out') };
    const { exitCode, stderr } = await batch(flags, fakeService({ fail: (_, nth) => (nth > 5 ? new RankError(0, 'ended with signal SIGKILL') : undefined) }));
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^not every line has its answer: the same command with --resume goes on\n5 lines answered, .*\nasyncep: rank 0: ended with signal SIGKILL\n$/);
    expect(await batch({ ...flags, resume: true })).toMatchObject({ exitCode: 0, asked: 15 });
    expect(idsIn(flags.output)).toEqual(ids(20));
  });

  it.each([
    [{ input: 'no-such.jsonl' }, 'asyncep: --input: no-such.jsonl: no such file\n'],
    [{ input: folder }, `asyncep: --input: ${folder}: is a folder; expected a file of requests, one a line, or - for stdin\n`],
    [{ input: file('a.jsonl', lines(2)), output: join(folder, 'no', 'such') }, `asyncep: --output: ${join(folder, 'no', 'such')}: cannot be written (ENOENT); expected a file in a folder that exists\n`],
    [{ input: file('b.jsonl', lines(2)), output: join(folder, 'b.jsonl'), overwrite: true }, `asyncep: --output: ${join(folder, 'b.jsonl')}: is the input; expected another file\n`],
    [{ input: file('c.jsonl', lines(2)), output: file('c.out', 'old') }, `asyncep: --output: ${join(folder, 'c.out')}: exists; expected --resume to go on with it, or --overwrite to begin anew\n`],
    [{ input: file('d.jsonl', 'a mail'), output: file('d.out', 'old'), overwrite: true }, `asyncep: ${join(folder, 'd.jsonl')}: line 1: is not valid JSON: `],
    [{ input: file('e.jsonl', lines(2)), output: file('e.out', 'old\n'), resume: true }, `asyncep: ${join(folder, 'e.out')}: line 1: is no answer of a batch run; expected the output of the run that shall go on\n`],
    [{ input: file('f.jsonl', lines(2)), resume: true, overwrite: true }, 'asyncep: --resume: has no use with --overwrite; expected one of them\n'],
    [{ input: file('g.jsonl', lines(2)), output: '-', resume: true }, 'asyncep: --resume: has no use with --output -; expected a file\n'],
  ] as const)('refuses %j before any work', async (flags, message) => {
    const contents = (): string | null => ('output' in flags && existsSync(flags.output) ? readFileSync(flags.output, 'utf8') : null);
    const before = contents();
    const { exitCode, stderr, opened } = await batch(flags);
    expect([exitCode, opened]).toEqual([2, 0]);
    expect(stderr.slice(0, message.length)).toBe(message);
    expect(contents()).toBe(before);
  });
});

describe('asyncep batch --resume', () => {
  /** An output with answers to some lines of ten, and whatever follows them. */
  async function stoppedAt(name: string, keep: readonly number[], tail = ''): Promise<{ input: string; output: string; whole: string }> {
    const [input, done] = [file(`${name}.jsonl`, lines(10)), join(folder, `${name}.out`)];
    await batch({ input, output: done, overwrite: true });
    const kept = answersIn(done).filter(({ id }) => keep.includes(Number(id.slice('batch_req_'.length))));
    const whole = kept.map((answer) => `${JSON.stringify(answer)}\n`).join('');
    writeFileSync(done, whole + tail);
    return { input, output: done, whole };
  }

  it('asks only what has no answer, leaves answers as they are and drops a torn last line', async () => {
    const { whole, ...flags } = await stoppedAt('torn', [1, 2, 4, 7], '{"id":"batch_req_3","custom_id":"id-');
    const { exitCode, stderr, asked } = await batch({ ...flags, resume: true });
    expect([exitCode, asked]).toEqual([0, 6]);
    expect(stderr).toMatch(/^6 lines answered, 0 of them failed, 4 lines answered before; 6 requests, 24 tokens/);
    expect(readFileSync(flags.output, 'utf8').startsWith(whole)).toBe(true);
    expect(idsIn(flags.output)).toEqual(ids(10));
  });

  it('starts no engine when nothing is left to do', async () => {
    const { whole, ...flags } = await stoppedAt('done', [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(await batch({ ...flags, resume: true })).toMatchObject({ exitCode: 0, opened: 0 });
    expect(readFileSync(flags.output, 'utf8')).toBe(whole);
  });

  it('begins when there is no output yet', async () => {
    expect(await batch({ input: file('fresh.jsonl', lines(3)), output: join(folder, 'fresh.out'), resume: true })).toMatchObject({ exitCode: 0, asked: 3 });
  });

  it('counts the failures of earlier runs, too', async () => {
    const flags = { input: file('failed.jsonl', `${countLine(1, 'bad')}\n`), output: join(folder, 'failed.out') };
    await batch(flags);
    writeFileSync(flags.input, `${countLine(1, 'bad')}\n${countLine(2, 'good')}\n`);
    const { exitCode, stderr } = await batch({ ...flags, resume: true });
    expect(exitCode).toBe(1);
    expect(stderr).toContain('1 of 2 lines failed');
  });

  it.each([
    ['another custom_id', (text: string) => text.replace('id-7', 'id-x'), 'line 7: custom_id: "id-x" but the output has an answer for another one; expected the input of the run that shall go on'],
    ['a line less', (text: string) => text.replace(/^.*\n/, ''), 'line 1: custom_id: "id-2" but the output has an answer for another one; expected the input of the run that shall go on'],
    ['too few lines', (text: string) => text.split('\n').slice(0, 5).join('\n'), 'has 5 lines but the output has an answer for line 7; expected the input of the run that shall go on'],
  ])('refuses an input with %s, before any work', async (_, change, message) => {
    const { whole, ...flags } = await stoppedAt('changed', [1, 2, 4, 7], 'torn');
    writeFileSync(flags.input, change(readFileSync(flags.input, 'utf8')));
    const { exitCode, stderr, opened } = await batch({ ...flags, resume: true });
    expect([exitCode, opened, stderr]).toEqual([2, 0, `asyncep: ${flags.input}: ${message}\n`]);
    expect(readFileSync(flags.output, 'utf8')).toBe(`${whole}torn`);
  });

  it('refuses an output that answers a line twice', async () => {
    const { whole, ...flags } = await stoppedAt('twice', [3]);
    writeFileSync(flags.output, whole + whole);
    const { exitCode, stderr } = await batch({ ...flags, resume: true });
    expect([exitCode, stderr]).toEqual([2, `asyncep: ${flags.output}: line 2: answers line 3 of the input a second time; expected one answer a line\n`]);
  });
});
