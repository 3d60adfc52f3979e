/**
 * Writes the WGSL that an adapter really gets: every template rendered for its features and for the demo model's shape, as
 * a short pass asks for them.
 *
 * Run as a program with a folder it writes the files; {@link dumpShaders} does so in a child process.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createEngine, type Engine } from '../engine/index.ts';
import { AdapterError } from '../errors.ts';
import { readConfig } from '../model/config.ts';
import { randomWeights } from '../model/random-weights.ts';
import { openDevice, type GpuDevice } from '../runtime/device.ts';
import type { SlotStream } from '../engine/slot-stream.ts';
import { openFolder } from './files.ts';
import { openGpu } from './gpu.ts';
import { waitFor } from './pacing.ts';
import { programArguments } from './program-arguments.ts';
import { packageRoot, readShader } from './shaders.ts';

const TIMEOUT_MS = 120_000;

/**
 * Writes one file per kernel into `folder`, which is made if need be.
 * @returns paths of the files
 * @throws AdapterError when the child process fails, for instance because there is no adapter
 */
export async function dumpShaders(folder: string): Promise<string[]> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [...programArguments(import.meta.url), folder], { timeout: TIMEOUT_MS });
    return JSON.parse(stdout) as string[];
  } catch (error) {
    const lastWords = (error as { stderr?: string }).stderr?.trim().split('\n').findLast((line) => /error/i.test(line)) ?? String(error);
    throw new AdapterError(`writing the shaders failed: ${lastWords}`, { cause: error });
  }
}

/** Slots of zeros: which kernels run depends on shapes alone. */
function emptySlots(gpu: GpuDevice, { expertLayout, config }: Engine): SlotStream {
  const { expertBytes } = expertLayout;
  const bank = gpu.createBuffer('slots', config.numExperts * expertBytes, GPUBufferUsage.STORAGE);
  return {
    begin: () => undefined,
    ready: async (layer) => ({ layer, banks: [bank], expertsPerBank: config.numExperts, expertBytes }),
    done: () => undefined,
    end: () => undefined,
    close: async () => undefined,
  };
}

/** Makes every kernel of a pass, of its last layer, and of both kinds of head. */
async function runPasses(gpu: GpuDevice): Promise<void> {
  const files = await openFolder(join(packageRoot, 'models/spam-mail'));
  const config = await readConfig(files);
  await files.close();
  const engine = await createEngine(gpu, await randomWeights(config));
  const stream = emptySlots(gpu, engine);
  const sequences = [{ tokens: Uint32Array.of(1, 2, 3) }];
  for (const candidates of [null, Uint32Array.of(1, 2)]) await engine.forward({ sequences, candidates }, stream);
}

async function main(folder: string): Promise<void> {
  const opened = await openGpu();
  const gpu = await openDevice(opened.adapter, { shaders: readShader, wait: waitFor(opened) });
  await runPasses(gpu);
  await mkdir(folder, { recursive: true });
  const written = gpu.pipelines.texts().map(async ({ key, code }) => {
    const name = key.slice(0, key.indexOf(' '));
    const path = join(folder, `${name}-${createHash('sha256').update(key).digest('hex').slice(0, 6)}.wgsl`);
    await writeFile(path, `// ${key}\n${code}`);
    return path;
  });
  process.stdout.write(`${JSON.stringify(await Promise.all(written))}\n`, () => process.exit(0));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv[2] ?? '.');
