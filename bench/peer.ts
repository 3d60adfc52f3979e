/** A peer of `bench/peers/` as a subject: a child process that computes one run whenever it is asked. */
import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { AdapterEntry } from '../src/node/gpu.ts';
import type { Sample, Subject } from './measure.ts';

const folder = join(dirname(fileURLToPath(import.meta.url)), 'peers');

/** Installs the peers once, without their scripts; false (and a line that says why) when the registry cannot be reached. */
export function peersInstalled(): boolean {
  if (existsSync(join(folder, 'node_modules', 'onnxruntime-node'))) return true;
  try {
    console.log('installing bench/peers (once) ...\n');
    execFileSync('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    return true;
  } catch (error) {
    console.log(`bench/peers could not be installed, so no ratios to others: ${String((error as { stderr?: Buffer }).stderr ?? error).split('\n')[0]}\n`);
    return false;
  }
}

/** The Vulkan driver of this adapter alone: onnxruntime takes the first adapter that it finds. */
function onlyDriverOf({ name }: Pick<AdapterEntry, 'name'>): NodeJS.ProcessEnv {
  const drivers = (process.env['VK_DRIVER_FILES'] ?? '').split(':');
  const wanted = /llvmpipe/i.test(name) ? /lvp/ : /swiftshader/i.test(name) ? /swiftshader/i : undefined;
  const own = wanted && drivers.find((driver) => wanted.test(driver));
  return own ? { ...process.env, VK_DRIVER_FILES: own, VK_ICD_FILENAMES: own } : process.env;
}

export interface Peer extends Subject {
  end(): void;
}

/** onnxruntime-node's MatMul f32 on `provider`; undefined (and a line that says why) when it does not start. */
export async function onnxruntimePeer(provider: 'webgpu' | 'cpu', adapter: Pick<AdapterEntry, 'name'>, { M, N, K }: { M: number; N: number; K: number }): Promise<Peer | undefined> {
  const child: ChildProcessWithoutNullStreams = spawn(process.execPath, ['onnxruntime.mjs', provider, ...[M, N, K].map(String)], { cwd: folder, env: onlyDriverOf(adapter) });
  let complaint = '';
  child.stderr.on('data', (data: Buffer) => { complaint += String(data); });
  child.on('error', () => undefined);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done === true) {
    const why = complaint.split('\n').find((line) => line.startsWith('Error')) ?? complaint.split('\n')[0] ?? '';
    console.log(`onnxruntime ${provider} did not start: ${why.slice(0, 200)}\n`);
    return undefined;
  }
  return {
    name: `onnxruntime ${provider} f32`,
    why: provider === 'cpu' ? 'the limit: what the same cores do without WebGPU (MLAS)' : 'the same adapter, other people\'s kernels',
    flops: 2 * M * N * K,
    firstMs: (JSON.parse(first.value) as { firstMs: number }).firstMs,
    async sample() {
      child.stdin.write('run\n');
      const line = await lines.next();
      if (line.done === true) throw new Error(`onnxruntime ${provider} ended: ${complaint.slice(0, 500)}`);
      return JSON.parse(line.value) as Sample;
    },
    end: () => { child.stdin.end('end\n'); },
  };
}
