import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
// @ts-expect-error plain JavaScript without types
import { tarFiles } from '../../scripts/setup/tar.mjs';

const folder = mkdtempSync(join(tmpdir(), 'asyncep-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (program: string, args: string[], env: NodeJS.ProcessEnv = {}) =>
  spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, ...env } });

describe('the tar reader', () => {
  it.runIf(process.platform === 'linux')('reads what tar writes: empty, odd and block-sized files, folders, long paths', () => {
    const deep = `${'d'.repeat(90)}/${'e'.repeat(60)}`;
    const contents: Record<string, string> = { 'a.txt': 'hello', empty: '', 'b/block': 'x'.repeat(512), [`${deep}/f`]: 'deep' };
    const script = Object.entries(contents).map(([path, text]) => `mkdir -p "$(dirname ${path})"; printf %s '${text}' > ${path}`).join('; ');
    expect(run('sh', ['-c', `cd ${folder}; mkdir t; cd t; ${script}; tar --format=ustar -cf ../t.tar .`]).status).toBe(0);
    const { stdout } = spawnSync('cat', [join(folder, 't.tar')]);
    const files = tarFiles(stdout) as Map<string, Buffer>;
    expect(Object.fromEntries([...files].map(([path, bytes]) => [path, bytes.toString()]))).toEqual(contents);
  });
});

describe('count-tests', () => {
  const count = (report: object) => {
    const file = join(folder, 'report.json');
    writeFileSync(file, JSON.stringify(report));
    return run('node', ['scripts/count-tests.mjs', file]);
  };

  it('counts passed and failed tests, and a file that could not be loaded as one failure', () => {
    const testResults = [
      { status: 'passed', assertionResults: [{}, {}] }, { status: 'failed', assertionResults: [{}] }, { status: 'failed', assertionResults: [] },
    ];
    expect(count({ numPassedTests: 2, numFailedTests: 1, testResults }).stdout).toBe('2 passed, 2 failed\n');
  });

  it('prints no count when the tests did not run', () => {
    const { status, stdout, stderr } = run('node', ['scripts/count-tests.mjs', join(folder, 'none.json')]);
    expect([status, stdout, stderr]).toEqual([1, '', 'the tests did not run: there is no report of them\n']);
  });
});

describe.runIf(process.platform === 'linux')('the set-up', () => {
  it('ends with exit code 3 and says what helps when no adapter can be had', () => {
    const { status, stderr } = run('node', ['scripts/setup.mjs', '--no-system'], { VK_DRIVER_FILES: '/nowhere', ASYNCEP_SWIFTSHADER: 'off' });
    expect(stderr).toContain('setup: no WebGPU adapter was found on this machine');
    expect(stderr).toContain('asyncep needs one WebGPU adapter. Any of these helps');
    expect(status).toBe(3);
  });
});
