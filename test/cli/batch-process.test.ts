/** `asyncep batch` as a process: killed at any moment, interrupted, at the end of a pipe, with a file that is larger than its memory. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { BatchFlags } from '../../src/cli/batch-run.ts';
import { programArguments } from '../../src/node/program-arguments.ts';
import { chance, seed } from '../cluster/faults.ts';
import { countLine } from '../serving/batch/fakes.ts';
import { scratch } from './run.ts';

const CHILD = programArguments(new URL('./batch-child.ts', import.meta.url).href);

const { folder, file } = scratch();

function start(flags: BatchFlags, { delayMs = 2, room = 8, node = [] as string[] } = {}): ChildProcess {
  return spawn(process.execPath, [...node, ...CHILD, String(delayMs), String(room), JSON.stringify(flags)], { stdio: ['pipe', 'pipe', 'pipe'] });
}

async function ended(child: ChildProcess): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const [stdout, stderr, [code]] = await Promise.all([textOf(child.stdout!), textOf(child.stderr!), once(child, 'close') as Promise<[number | null]>]);
  return { code, stdout, stderr };
}

/** Waits until the output has so many bytes; false when the child ended before. */
async function grown(path: string, bytes: number, child: ChildProcess): Promise<boolean> {
  const deadline = Date.now() + 20_000;
  while (!existsSync(path) || statSync(path).size < bytes) {
    if (child.exitCode !== null) return false;
    if (Date.now() > deadline) throw new Error(`${path} has not grown to ${bytes} bytes`);
    await sleep(5);
  }
  return true;
}

interface Line {
  readonly id: string;
  readonly custom_id: string;
  readonly response: { readonly body: { readonly length: number } };
}
const parse = (text: string): Line[] => text.split('\n').slice(0, -1).map((line) => JSON.parse(line) as Line);
const numbers = (found: readonly Line[]): number[] => found.map(({ id }) => Number(id.slice('batch_req_'.length))).toSorted((a, b) => a - b);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

describe('a batch that is killed again and again', () => {
  it(`answers every line exactly once when it is resumed until it is done (ASYNCEP_TEST_SEED=${seed})`, async () => {
    const below = chance('batch');
    const count = 4000;
    const flags = { input: file('in.jsonl', upTo(count).map((line) => countLine(line, 'x'.repeat(1 + line % 30))).join('\n')), output: join(folder, 'killed.jsonl') };
    let kills = 0;
    for (let bytes = 0; ; kills++) {
      const child = start(existsSync(flags.output) ? { ...flags, resume: true } : flags);
      bytes += 40_000 + below(60_000);
      if (kills < 8 && await grown(flags.output, bytes, child)) {
        child.kill('SIGKILL');
        await ended(child);
        continue;
      }
      expect(await ended(child)).toMatchObject({ code: 0 });
      break;
    }
    expect(kills).toBeGreaterThanOrEqual(4);
    const found = parse(readFileSync(flags.output, 'utf8'));
    expect(numbers(found)).toEqual(upTo(count));
    for (const { id, custom_id, response } of found) {
      const line = Number(id.slice('batch_req_'.length));
      expect([custom_id, response.body.length]).toEqual([`id-${line}`, 1 + line % 30]);
    }
  }, 240_000);
});

describe('a batch that is interrupted', () => {
  it('finishes its passes, says how to go on, and goes on', async () => {
    const flags = { input: file('int.jsonl', upTo(2000).map((line) => countLine(line, 'text')).join('\n')), output: join(folder, 'int.out') };
    const child = start(flags, { delayMs: 20 });
    const outcome = ended(child);
    await grown(flags.output, 10_000, child);
    child.kill('SIGINT');
    const { code, stderr } = await outcome;
    expect(code).toBe(130);
    expect(stderr).toMatch(/^stopping: passes under way are being finished; once more to give them up\n[\d,]+ lines answered, 0 of them failed; .*\nasyncep: stopped: the same command with --resume goes on\n$/);
    const kept = parse(readFileSync(flags.output, 'utf8'));
    expect(kept.length).toBeLessThan(2000);
    expect(await ended(start({ ...flags, resume: true }))).toMatchObject({ code: 0 });
    expect(numbers(parse(readFileSync(flags.output, 'utf8')))).toEqual(upTo(2000));
  });

  it('ends although its input is a pipe that stays open', async () => {
    const flags = { input: '-', output: join(folder, 'open.out') };
    const child = start(flags);
    const outcome = ended(child);
    child.stdin!.write(`${countLine(1, 'text')}\n`);
    await grown(flags.output, 10, child);
    child.kill('SIGTERM');
    expect(await outcome).toMatchObject({ code: 130 });
    expect(numbers(parse(readFileSync(flags.output, 'utf8')))).toEqual([1]);
  });

  it('gives up what is under way at the second signal', async () => {
    const flags = { input: file('slow.jsonl', upTo(20).map((line) => countLine(line, 'text')).join('\n')), output: join(folder, 'slow.out') };
    const child = start(flags, { delayMs: 600_000, room: 20 });
    const outcome = ended(child);
    await grown(flags.output, 10, child); // the 13th request is answered at once
    child.kill('SIGINT');
    await once(child.stderr!, 'data');
    child.kill('SIGINT');
    const { code, stderr } = await outcome;
    expect([code, stderr]).toEqual([130, expect.stringContaining('asyncep: stopped: the same command with --resume goes on\n')]);
  });
});

describe('a batch between pipes', () => {
  it('reads stdin and writes nothing but answers to stdout', async () => {
    const child = start({ input: '-', output: '-' });
    const outcome = ended(child);
    child.stdin!.end(upTo(50).map((line) => countLine(line, 'text')).join('\n'));
    const { code, stdout } = await outcome;
    expect(code).toBe(0);
    expect(numbers(parse(stdout))).toEqual(upTo(50));
  });
});

describe('an input that is larger than memory', () => {
  const MIB = 2 ** 20;

  it('is answered in a heap of 64 MiB: 300 MiB in lines of half a MiB, one of them of 20', async () => {
    const path = join(folder, 'large.jsonl');
    const handle = openSync(path, 'w');
    for (let line = 1; line <= 560; line++) writeSync(handle, `${countLine(line, 'x'.repeat(line === 100 ? 20 * MIB : MIB / 2))}\n`);
    closeSync(handle);
    expect(statSync(path).size).toBeGreaterThan(295 * MIB);
    const output = join(folder, 'large.out');
    const { code, stderr } = await ended(start({ input: path, output }, { delayMs: 1, room: 1024, node: ['--max-old-space-size=64'] }));
    expect([code, stderr]).toEqual([0, expect.stringContaining('560 lines answered, 0 of them failed')]);
    expect(Number(/^peak of memory: (\d+) KiB$/m.exec(stderr)?.[1])).toBeLessThan(280 * 1024);
    expect(numbers(parse(readFileSync(output, 'utf8')))).toEqual(upTo(560));
  });
});
