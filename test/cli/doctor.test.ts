import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeFindings } from '../../src/cli/doctor-text.ts';
import { formatBytes, formatFlops, oneLine } from '../../src/cli/format.ts';
import type { Findings } from '../../src/node/machine.ts';
import { run, scratch } from './run.ts';

const { folder } = scratch();

describe('doctor', () => {
  it('finds the adapters, the shared memory and the versions of this machine', async () => {
    const { stdout, exitCode } = await run('doctor', '--json');
    expect(exitCode).toBe(0);
    const findings = JSON.parse(stdout) as Findings;
    expect(findings.versions.node).toBe(process.versions.node);
    expect(findings.adapters.length).toBeGreaterThan(0);
    for (const { problem, limits } of findings.adapters) {
      expect(problem).toBeUndefined();
      expect(limits['maxStorageBufferBindingSize']).toBeGreaterThanOrEqual(128 * 2 ** 20);
    }
    expect(findings.sharedMemory.writable).toBe(true);
  });

  it('writes the expanded text of every kernel of a pass', async () => {
    const { exitCode, stderr } = await run('doctor', '--dump-shaders', join(folder, 'wgsl'));
    const files = readdirSync(join(folder, 'wgsl'));
    expect([exitCode, stderr]).toEqual([0, `wrote ${files.length} kernels to ${join(folder, 'wgsl')}\n`]);
    for (const kernel of ['attention', 'candidate-head', 'combine', 'embedding', 'matmul', 'rmsnorm', 'router-topk']) {
      expect(files.some((name) => name.startsWith(kernel)), kernel).toBe(true);
    }
    for (const name of files) expect(readFileSync(join(folder, 'wgsl', name), 'utf8')).toMatch(/^\/\/ \S+ \{.*\}\n[^]*@compute/);
  });

  it('says what is missing and how to get it', () => {
    const text = describeFindings({
      versions: { asyncep: '1', node: '20', webgpu: '0.6' },
      platform: { os: 'linux', cores: 2, memoryBytes: 2 ** 34, freeMemoryBytes: 2 ** 33 },
      vulkan: { loader: 'none', drivers: [] },
      adapters: [],
      sharedMemory: { folder: '/dev/shm', writable: true, freeBytes: 2 ** 26, totalBytes: 2 ** 26 },
      cacheFolder: '/c',
      missing: [{ what: 'a WebGPU adapter', remedy: 'run something' }],
    });
    expect(text).toMatchInlineSnapshot(`
      "asyncep         1
      node            20
      webgpu          0.6 (Dawn)
      system          linux, 2 cores, 8 GiB of 16 GiB memory free
      shared memory   /dev/shm: 64 MiB of 64 MiB free
      cache           /c
      Vulkan loader   none
      Vulkan drivers  none listed

      no adapter

      missing: a WebGPU adapter
        run something
      "
    `);
  });
});

describe('numbers', () => {
  it('read as people write them', () => {
    expect([0, 1023, 1024, 134217728, 2 ** 32 - 1].map(formatBytes)).toEqual(['0 B', '1020 B', '1 KiB', '128 MiB', '4 GiB']);
    expect([2.71e10, 3.2e13].map(formatFlops)).toEqual(['27.1 GFLOP/s', '32.0 TFLOP/s']);
    expect(oneLine('a\n  b\tc', 10)).toBe('a b c');
    expect(oneLine('abcdefghijkl', 10)).toBe('abcdefg...');
  });
});
