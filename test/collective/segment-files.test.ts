import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { processStartTime, removeRunSegments, segmentPath, sweepStaleSegments } from '../../src/collective/segment-files.ts';

const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const files = new URL('../../src/collective/segment-files.ts', import.meta.url).href;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'asyncep-test-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const touch = (name: string): void => writeFileSync(join(folder, name), '');

describe('the sweep of stale segments', () => {
  it('removes those of dead processes, finished or not, and of pids that were given out again', () => {
    const dead = spawnSync(process.execPath, ['-e', '']).pid;
    const living = segmentPath('run1', 0, folder);
    touch(`asyncep-run1-${dead}-123-r0.seg`);
    touch(`asyncep-run1-${dead}-123-r0.seg.tmp`);
    touch(`asyncep-run1-${process.pid}-1-r3.seg`);
    touch('something-else.seg');
    writeFileSync(living, '');
    expect(sweepStaleSegments(folder)).toHaveLength(3);
    expect(readdirSync(folder).sort()).toEqual([living.slice(folder.length + 1), 'something-else.seg'].sort());
  });

  it('leaves other runs alone when one run is cleared', () => {
    touch(`asyncep-run1-${process.pid}-5-r0.seg`);
    touch(`asyncep-run2-${process.pid}-5-r0.seg`);
    expect(removeRunSegments('run1', folder)).toHaveLength(1);
    expect(readdirSync(folder)).toEqual([`asyncep-run2-${process.pid}-5-r0.seg`]);
  });

  it('knows when a process started, also one with blanks in its name', () => {
    expect(Number(processStartTime(process.pid))).toBeGreaterThan(0);
    expect(processStartTime(process.pid)).toBe(processStartTime(process.pid));
    expect(processStartTime(2 ** 22 + 1)).toBe('0');
  });
});

describe('a guarded segment is gone', () => {
  const script = (ending: string): string =>
    `import { guardSegment, segmentPath } from ${JSON.stringify(files)};
     import { writeFileSync } from 'node:fs';
     const path = segmentPath('run', 0, ${JSON.stringify(folder)});
     guardSegment(path); writeFileSync(path, 'x'); console.log('written'); ${ending}`;
  const run = (ending: string, signal?: NodeJS.Signals): Promise<{ code: number | null; signal: string | null }> =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, ['--import', tsx, '--input-type=module', '-e', script(ending)], { stdio: ['ignore', 'pipe', 'ignore'] });
      child.stdout.once('data', () => {
        expect(readdirSync(folder)).toHaveLength(1);
        if (signal === undefined) child.stdout.resume();
        else child.kill(signal);
      });
      child.on('exit', (code, by) => resolve({ code, signal: by }));
    });

  it.each([
    ['an orderly end', '', undefined, { code: 0, signal: null }],
    ['process.exit', 'process.exit(3)', undefined, { code: 3, signal: null }],
    ['an uncaught error', 'setTimeout(() => { throw new Error("x") }, 50)', undefined, { code: 1, signal: null }],
    ['SIGTERM', 'setInterval(() => {}, 1000)', 'SIGTERM', { code: null, signal: 'SIGTERM' }],
    ['SIGINT', 'setInterval(() => {}, 1000)', 'SIGINT', { code: null, signal: 'SIGINT' }],
  ] as const)('after %s', async (_, ending, signal, outcome) => {
    // A little time for the parent to look at the folder first.
    expect(await run(`setTimeout(() => { ${ending} }, 300)`, signal)).toEqual(outcome);
    expect(readdirSync(folder)).toEqual([]);
  });
});
