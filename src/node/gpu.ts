/**
 * Adapters as Node sees them: Dawn's own bindings, opened by name.
 *
 * An instance (what `create` returns) that is collected before the last of its devices crashes the process, and nothing tells in which
 * order garbage goes: instances that gave an adapter are kept until the process ends.
 */
import { create, globals } from 'webgpu';
import { AdapterError } from '../errors.ts';
import { prepareVulkan } from './vulkan-env.ts';

Object.assign(globalThis, globals); // GPUBufferUsage and its siblings, as a browser has them

/** One adapter that this machine offers. */
export interface AdapterEntry {
  /** Dawn's backend: `vulkan`, `metal`, `d3d12`, ... */
  readonly backend: string;
  /** As the driver names it, for instance `llvmpipe (LLVM 15.0.6, 256 bits)`. */
  readonly name: string;
  /** Computes on the CPU. */
  readonly software: boolean;
}

/** An opened adapter. `gpu` and `adapter` must not be used, nor kept, after `close`. */
export interface OpenGpu extends AdapterEntry {
  readonly gpu: GPU;
  readonly adapter: GPUAdapter;
  close(): void;
}

/** `allow_unsafe_apis`: subgroup matrices; f16 on NVIDIA is behind a toggle of its own; timestamps are wanted unrounded. */
const DAWN_FLAGS = [
  'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia',
  'disable-dawn-features=timestamp_quantization',
];

const REMEDY = 'run `npm run setup` (installs a software adapter where there is none), or install the driver of your GPU';

const SOFTWARE = /llvmpipe|lavapipe|swiftshader|basic render/i;

/** Names people use for a driver, and the one it uses itself. */
const ALIASES: Readonly<Record<string, string>> = { lavapipe: 'llvmpipe' };

/** Order of preference: a GPU, then the faster of the software adapters. */
function preference(entry: AdapterEntry): number {
  if (!entry.software) return 0;
  return /llvmpipe/i.test(entry.name) ? 1 : 2;
}

/** Dawn has no call that lists adapters, but refusing a name makes it tell all of them. */
async function adaptersFromRefusal(): Promise<string> {
  try {
    const adapter = await create(['adapter=\u0001']).requestAdapter();
    return adapter === null ? '' : 'an adapter of any name was accepted';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Every adapter that can be reached from here, the preferred one first; empty when there is none. */
export async function listAdapters(): Promise<AdapterEntry[]> {
  prepareVulkan();
  const text = await adaptersFromRefusal();
  const found = [...text.matchAll(/backend: '(.*?)', name: '(.*)'/g)].map(([, backend = '', name = '']) => ({
    backend, name, software: SOFTWARE.test(name),
  }));
  return found.filter(({ backend }) => backend !== 'null').toSorted((a, b) => preference(a) - preference(b));
}

/** Never read: see above. */
const kept: GPU[] = [];

/** Opens one adapter of the list; Dawn takes the first whose name contains the wanted one. */
async function openEntry(entry: AdapterEntry): Promise<OpenGpu> {
  let gpu: GPU | undefined = create([`backend=${entry.backend}`, `adapter=${entry.name}`, ...DAWN_FLAGS]);
  let adapter: GPUAdapter | undefined = (await gpu.requestAdapter()) ?? undefined;
  if (adapter === undefined) throw new AdapterError(`adapter ${entry.name}: the driver refused to open it; ${REMEDY}`);
  kept.push(gpu);
  const software = entry.software || adapter.info.isFallbackAdapter;
  return {
    ...entry,
    software,
    get gpu() { return reachable(gpu); },
    get adapter() { return reachable(adapter); },
    close() { gpu = undefined; adapter = undefined; },
  };
}

function reachable<T>(object: T | undefined): T {
  if (object === undefined) throw new AdapterError('this adapter was closed');
  return object;
}

const contains = (text: string, part: string): boolean => text.toLowerCase().includes(part.toLowerCase());

/** Whether vendor, architecture, device or description contain the wanted text (asked only when no name does). */
async function infoContains(entry: AdapterEntry, wanted: string): Promise<boolean> {
  const opened = await openEntry(entry);
  const { vendor, architecture, device, description } = opened.adapter.info;
  opened.close();
  return [vendor, architecture, device, description].some((text) => contains(text, wanted));
}

async function choose(adapters: readonly AdapterEntry[], spec: string): Promise<AdapterEntry | undefined> {
  const wanted = ALIASES[spec.toLowerCase()] ?? spec;
  const named = adapters.find((entry) => contains(entry.name, wanted));
  if (named !== undefined) return named;
  for (const entry of adapters) if (await infoContains(entry, wanted)) return entry;
  return undefined;
}

let known: Promise<AdapterEntry[]> | undefined;

/** The list, asked for once: what is plugged in does not change while we run. An empty list is asked for again. */
async function knownAdapters(): Promise<AdapterEntry[]> {
  const adapters = await (known ??= listAdapters());
  if (adapters.length === 0) known = undefined;
  return adapters;
}

/**
 * Opens an adapter.
 * @param spec part of its name, vendor or device, in any case (`lavapipe` means `llvmpipe`); without it a GPU is preferred
 * @throws AdapterError when there is no adapter at all (with the remedy) or none that fits (with the list of what there is)
 */
export async function openGpu(spec?: string): Promise<OpenGpu> {
  const adapters = await knownAdapters();
  if (adapters.length === 0) throw new AdapterError(`no WebGPU adapter was found; ${REMEDY}`);
  const entry = spec ? await choose(adapters, spec) : adapters[0];
  if (entry !== undefined) return openEntry(entry);
  const names = adapters.map(({ name }) => name).join(', ');
  throw new AdapterError(`no adapter's name contains "${spec}"; this machine has: ${names}`);
}

/** A line on stderr that Dawn writes for every software adapter it looks at, and that nobody can act on. */
export const isDriverNoise = (line: string): boolean => /artificially reduced from \d+ to \d+ to fit/.test(line);
