/**
 * Looks at the adapters from a process of its own: a driver that crashes takes only that process with it, and what
 * drivers print on stderr stays out of our output.
 *
 * Run as a program it prints one JSON line, {@link AdapterReport}[].
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { AdapterError } from '../errors.ts';
import { listAdapters, openGpu } from './gpu.ts';
import { programArguments } from './program-arguments.ts';

const adapterReport = z.object({
  backend: z.string(),
  name: z.string(),
  software: z.boolean(),
  /** Whether a device could be made; if not, why not. */
  problem: z.string().optional(),
  vendor: z.string(),
  description: z.string(),
  features: z.array(z.string()),
  limits: z.record(z.string(), z.number()),
  /** Subgroup sizes, smallest and largest; 0 when the adapter has none. */
  subgroupMinSize: z.number(),
  subgroupMaxSize: z.number(),
});

/** One adapter with what it can do. */
export type AdapterReport = z.infer<typeof adapterReport>;

const PROBE_TIMEOUT_MS = 60_000;

/**
 * Every adapter of this machine, opened once in a child process.
 * @throws AdapterError when the child crashes or does not end within a minute
 */
export async function probeAdapters(): Promise<AdapterReport[]> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, programArguments(import.meta.url), {
      timeout: PROBE_TIMEOUT_MS,
      maxBuffer: 16 * 2 ** 20,
    });
    return z.array(adapterReport).parse(JSON.parse(stdout));
  } catch (error) {
    const lastWords = (error as { stderr?: string }).stderr?.trim().split('\n').at(-1) ?? String(error);
    throw new AdapterError(`looking at the adapters failed: ${lastWords}`, { cause: error });
  }
}

async function report(name: string): Promise<AdapterReport> {
  const opened = await openGpu(name);
  const { info, features, limits } = opened.adapter;
  const result = {
    backend: opened.backend,
    name: opened.name,
    software: opened.software,
    vendor: info.vendor,
    description: info.description,
    features: [...features].toSorted(),
    limits: numericLimits(limits),
    subgroupMinSize: info.subgroupMinSize ?? 0,
    subgroupMaxSize: info.subgroupMaxSize ?? 0,
    ...(await deviceProblem(opened.adapter)),
  };
  opened.close();
  return result;
}

function numericLimits(limits: GPUSupportedLimits): Record<string, number> {
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(limits)).filter((name) => name !== 'constructor');
  const pairs = names.map((name) => [name, limits[name as keyof GPUSupportedLimits]] as const);
  return Object.fromEntries(pairs.filter((pair): pair is [string, number] => typeof pair[1] === 'number'));
}

async function deviceProblem(adapter: GPUAdapter): Promise<{ problem?: string }> {
  try {
    (await adapter.requestDevice()).destroy();
    return {};
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

async function main(): Promise<void> {
  const reports: AdapterReport[] = [];
  for (const { name } of await listAdapters()) reports.push(await report(name));
  process.stdout.write(`${JSON.stringify(reports)}\n`, () => process.exit(0));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
