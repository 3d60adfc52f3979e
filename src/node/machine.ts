/** What a machine has of the things a run needs. */
import { accessSync, constants, readFileSync, statfsSync } from 'node:fs';
import { availableParallelism, freemem, release, totalmem } from 'node:os';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { segmentFolder } from '../collective/segment-files.ts';
import { cacheDir } from './cache-dir.ts';
import { type AdapterReport, probeAdapters } from './probe.ts';
import { packageRoot } from './shaders.ts';
import { prepareVulkan, vulkanLoaderSource } from './vulkan-env.ts';

/** Something that a user can do to make things work, or work faster. */
export interface Missing {
  readonly what: string;
  readonly remedy: string;
}

/** Everything `asyncep doctor` tells. Sizes in bytes. */
export interface Findings {
  readonly versions: { readonly asyncep: string; readonly node: string; readonly webgpu: string };
  readonly platform: { readonly os: string; readonly cores: number; readonly memoryBytes: number; readonly freeMemoryBytes: number };
  readonly vulkan: { readonly loader: string; readonly drivers: readonly string[] };
  readonly adapters: readonly AdapterReport[];
  readonly sharedMemory: { readonly folder: string; readonly writable: boolean; readonly freeBytes: number; readonly totalBytes: number };
  readonly cacheFolder: string;
  readonly missing: readonly Missing[];
}

/** Below this, the experts of a small model hardly fit; containers give 64 MiB unless told otherwise. */
const SMALL_SHARED_MEMORY = 256 * 2 ** 20;

const versionIn = (file: string): string => (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;

function versions(): Findings['versions'] {
  const webgpu = createRequire(import.meta.url).resolve('webgpu');
  return {
    asyncep: versionIn(join(packageRoot, 'package.json')),
    node: process.versions.node,
    webgpu: versionIn(join(webgpu, '..', 'package.json')),
  };
}

const platform = (): Findings['platform'] => ({
  os: `${process.platform} ${process.arch} ${release()}`,
  cores: availableParallelism(),
  memoryBytes: totalmem(),
  freeMemoryBytes: freemem(),
});

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function sharedMemory(): Findings['sharedMemory'] {
  const folder = segmentFolder();
  const { bsize, bavail, blocks } = statfsSync(folder);
  return { folder, writable: isWritable(folder), freeBytes: bsize * bavail, totalBytes: bsize * blocks };
}

function vulkan(): Findings['vulkan'] {
  prepareVulkan();
  const drivers = process.env['VK_DRIVER_FILES']?.split(':') ?? [];
  return { loader: vulkanLoaderSource() ?? 'not used here', drivers };
}

function missingAdapters(adapters: readonly AdapterReport[]): Missing[] {
  const usable = adapters.filter(({ problem }) => problem === undefined);
  if (usable.length === 0) {
    return [{ what: 'a WebGPU adapter', remedy: 'run `npx asyncep setup` (installs a software adapter), or install the driver of your GPU' }];
  }
  if (usable.every(({ software }) => software)) {
    return [{ what: 'a GPU (only software adapters: right, but slow)', remedy: 'install the Vulkan driver of your GPU, if there is one' }];
  }
  return [];
}

function missingMemory({ folder, writable, freeBytes }: Findings['sharedMemory']): Missing[] {
  if (!writable) return [{ what: `write access to ${folder}`, remedy: 'ranks share experts there: allow this user to write' }];
  if (freeBytes >= SMALL_SHARED_MEMORY) return [];
  return [{ what: `room in ${folder}`, remedy: 'experts of the model must fit: mount it larger (docker run --shm-size=8g)' }];
}

/** Looks at everything; the adapters in a process of their own. */
export async function examine(): Promise<Findings> {
  const memory = sharedMemory();
  const adapters = await probeAdapters();
  return {
    versions: versions(),
    platform: platform(),
    vulkan: vulkan(),
    adapters,
    sharedMemory: memory,
    cacheFolder: cacheDir(),
    missing: [...missingAdapters(adapters), ...missingMemory(memory)],
  };
}
