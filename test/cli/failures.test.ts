/** A rank of a running command dies or hangs: the command says which, and ends with exit code 1. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { isAlive, ranksOf, segmentsOfTheirOwn, strike, type Fault } from '../cluster/faults.ts';
import { FIXTURE, scratch } from './run.ts';

const segments = segmentsOfTheirOwn();
const { file } = scratch();

/** Runs the command, and does this to rank 1 as soon as the first answer is there. */
async function struck(fault: Fault, ...args: string[]): Promise<{ code: number | null; stderr: string; pids: number[] }> {
  const command = spawn(process.execPath, ['--import', 'tsx', 'src/cli/main.ts', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stderr = '';
  command.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  let pids: number[] = [];
  command.stdout.on('data', () => {
    if (pids.length > 0) return;
    pids = ranksOf(command.pid as number);
    strike(fault, pids[1] as number);
  });
  const [code] = (await once(command, 'close')) as [number | null];
  return { code, stderr, pids };
}

describe('a command whose rank 1', () => {
  it('is killed says so and exits with code 1: classify', async () => {
    const { code, stderr, pids } = await struck('kill', 'classify', '--model', 'models/spam-mail', '--template', 'models/spam-mail/template.jinja', '--labels', 'spam,ham',
      '--json', '--ranks', '2', '--batch-tokens', '256', '--deadline', '1.5', 'models/spam-mail/heldout.jsonl');
    expect([stderr, code]).toEqual([expect.stringMatching(/^asyncep: rank 1: ended with signal SIGKILL while running pass \d+\n$/), 1]);
    expect(pids).toHaveLength(2);
    expect([pids.filter(isAlive), segments()]).toEqual([[], []]);
  });

  it('hangs says so and exits with code 1: logits', async () => {
    const lines = Array.from({ length: 5_000 }, (_, id) => JSON.stringify({ id: String(id), tokens: new Array<number>(40).fill(7) })).join('\n');
    const { code, stderr, pids } = await struck('stop', 'logits', '--model', FIXTURE, '--input', file('prompts.jsonl', lines), '--candidates', '1,2',
      '--ranks', '2', '--strategy', 'ep', '--transport', 'websocket', '--batch-tokens', '160', '--deadline', '1.5');
    expect([stderr, code]).toEqual([expect.stringMatching(/^asyncep: rank 1: .* \d\.\d s.*\n$/), 1]);
    expect(pids).toHaveLength(2);
    expect([pids.filter(isAlive), segments()]).toEqual([[], []]);
  });
});
