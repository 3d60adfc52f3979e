/** A rank of a running command dies or hangs: the command says which, and ends with exit code 1. One that is only suspended goes on. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { programArguments } from '../../src/node/program-arguments.ts';
import { isAlive, ranksOf, segmentsOfTheirOwn, strike, type Fault } from '../cluster/faults.ts';
import { FIXTURE, scratch } from './run.ts';

const MAIN = programArguments(new URL('../../src/cli/main.ts', import.meta.url).href);

const segments = segmentsOfTheirOwn();
const { file } = scratch();

/** Runs the command, and does something to it and its ranks as soon as the first answer is there. */
async function disturbed(disturb: (command: number, ranks: readonly number[]) => void | Promise<void>, ...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string; pids: number[] }> {
  const command = spawn(process.execPath, [...MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { stdout: '', stderr: '' };
  command.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text));
  let pids: number[] = [];
  command.stdout.setEncoding('utf8').on('data', (text: string) => {
    said.stdout += text;
    if (pids.length > 0) return;
    pids = ranksOf(command.pid as number);
    void disturb(command.pid as number, pids);
  });
  const [code] = (await once(command, 'close')) as [number | null];
  return { code, ...said, pids };
}

const struck = (fault: Fault, ...args: string[]): ReturnType<typeof disturbed> => disturbed((_, ranks) => strike(fault, ranks[1] as number), ...args);

const prompts = (count: number): string =>
  file('prompts.jsonl', Array.from({ length: count }, (_, id) => JSON.stringify({ id: String(id), tokens: new Array<number>(40).fill(7) })).join('\n'));

describe('a command whose rank 1', () => {
  it('is killed says so and exits with code 1: classify', async () => {
    const { code, stderr, pids } = await struck('kill', 'classify', '--model', 'models/spam-mail', '--template', 'models/spam-mail/template.jinja', '--labels', 'spam,ham',
      '--json', '--ranks', '2', '--batch-tokens', '256', '--deadline', '1.5', 'models/spam-mail/heldout.jsonl');
    expect([stderr, code]).toEqual([expect.stringMatching(/^asyncep: rank 1: ended with signal SIGKILL while running pass \d+\n$/), 1]);
    expect(pids).toHaveLength(2);
    expect([pids.filter(isAlive), segments()]).toEqual([[], []]);
  });

  it('hangs says so and exits with code 1: logits', async () => {
    const { code, stderr, pids } = await struck('stop', 'logits', '--model', FIXTURE, '--input', prompts(5_000), '--candidates', '1,2',
      '--ranks', '2', '--strategy', 'ep', '--transport', 'websocket', '--batch-tokens', '160', '--deadline', '1.5');
    expect([stderr, code]).toEqual([expect.stringMatching(/^asyncep: rank 1: .* \d\.\d s.*\n$/), 1]);
    expect(pids).toHaveLength(2);
    expect([pids.filter(isAlive), segments()]).toEqual([[], []]);
  });
});

describe('a command that is suspended together with its ranks for longer than the deadline', () => {
  it.each([['shared-memory', 'asyncep'], ['websocket', 'ep']])('goes on where it was: %s', async (transport, strategy) => {
    const suspend = async (command: number, ranks: readonly number[]): Promise<void> => {
      // As Ctrl-Z and fg do it, to the whole group.
      for (const pid of [command, ...ranks]) process.kill(pid, 'SIGSTOP');
      await sleep(3_000);
      for (const pid of [command, ...ranks]) process.kill(pid, 'SIGCONT');
    };
    const { code, stdout, stderr } = await disturbed(suspend, 'logits', '--model', FIXTURE, '--input', prompts(200), '--candidates', '1,2',
      '--ranks', '2', '--strategy', strategy, '--transport', transport, '--batch-tokens', '160', '--deadline', '1');
    expect([stderr, code]).toEqual(['', 0]);
    expect(stdout.trim().split('\n')).toHaveLength(200);
    expect(segments()).toEqual([]);
  });
});
