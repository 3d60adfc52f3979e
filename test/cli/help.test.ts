import { describe, expect, it } from 'vitest';
import { run } from './run.ts';

const COMMANDS = ['classify', 'rerank', 'verify', 'logits', 'serve', 'batch', 'demo', 'timeline', 'learn', 'bench', 'plan', 'doctor', 'setup'];

describe('--help', () => {
  it('lists every command and the exit codes', async () => {
    const { stdout, exitCode } = await run('--help');
    expect(exitCode).toBe(0);
    for (const name of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${name}`, 'm'));
    expect(stdout).toContain('Exit codes: 0 done, 1 failed while running, 2 bad input or usage, 3 no adapter.');
  });

  it.each(COMMANDS.filter((name) => name !== 'setup'))('of %s ends with examples that call it', async (name) => {
    const { stdout } = await run(name, '--help');
    expect(stdout.slice(stdout.indexOf('Examples:'))).toMatch(new RegExp(`\\$ .*asyncep ${name}`));
  });

  it('of classify is this', async () => {
    expect((await run('classify', '--help')).stdout).toMatchSnapshot();
  });

  it('of learn is this', async () => {
    expect((await run('learn', '--help')).stdout).toMatchSnapshot();
  });

  it('of logits is this', async () => {
    expect((await run('logits', '--help')).stdout).toMatchSnapshot();
  });
});

describe('wrong usage', () => {
  it.each([
    [['classfy'], "error: unknown command 'classfy'"],
    [['classify', '--model', 'x', 'f'], "error: required option '--labels <a,b,...>' not specified"],
    [['classify', '--labels', 'a,b', '--model', 'x'], "error: missing required argument 'file'"],
    [['classify', '--labels', 'a,,b', '--model', 'x', 'f'], "option '--labels <a,b,...>' argument 'a,,b' is invalid. expected names separated by commas, none of them empty"],
    [['logits', '--model', 'x', '--input', 'f', '--ranks', '0'], "argument '0' is invalid. expected a whole number of at least 1"],
    [['logits', '--model', 'x', '--input', 'f', '--ranks', '1.5'], 'expected a whole number of at least 1'],
    [['logits', '--model', 'x', '--input', 'f', '--strategy', 'magic'], 'Allowed choices are asyncep, sync, resident'],
    [['logits', '--model', 'x', '--input', 'f', '--candidates', '1,x'], 'expected a whole number of at least 0'],
    [['doctor', '--jsn'], "error: unknown option '--jsn'"],
  ])('%j ends with exit code 2 and says what is wrong', async (args, message) => {
    const { exitCode, stderr, stdout } = await run(...args);
    expect(stderr).toContain(message);
    expect(stderr).toContain('(--help shows the flags and examples)');
    expect([exitCode, stdout]).toEqual([2, '']);
  });
});
