/** What the kernel tuner measured on this machine's adapters, kept for the next start. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheDir } from './cache-dir.ts';
import { packageRoot } from './shaders.ts';

/** Adapter name -> what its tuner returned. */
type Tuning = Record<string, unknown>;

let file: Promise<string> | undefined;

/** Kernels, and the code that chooses among them and measures them: this module's sibling folder, in src/ as in dist/. */
const SOURCES = [join(packageRoot, 'shaders'), fileURLToPath(new URL('../runtime', import.meta.url))];

async function filesIn(folder: string): Promise<string[]> {
  const names = (await readdir(folder, { recursive: true })).filter((name) => /\.(wgsl|ts|js)$/.test(name));
  return names.toSorted().map((name) => join(folder, name));
}

/** Other kernels, another tuner or another kernel of the system: measure anew. */
async function tuningFile(): Promise<string> {
  const hash = createHash('sha256').update(release());
  for (const folder of SOURCES) for (const path of await filesIn(folder)) hash.update(await readFile(path));
  return cacheDir(`tuning-${hash.digest('hex').slice(0, 16)}.json`);
}

const pathOnce = (): Promise<string> => (file ??= tuningFile());

/** What earlier runs measured; empty when there is nothing, or nothing that can be read. */
export async function loadTuning(): Promise<Tuning> {
  try {
    return JSON.parse(await readFile(await pathOnce(), 'utf8')) as Tuning;
  } catch {
    return {};
  }
}

/** Keeps what was measured; a cache that cannot be written costs time at the next start, nothing else. */
export async function saveTuning(tuning: Readonly<Tuning>): Promise<void> {
  const path = await pathOnce();
  const text = JSON.stringify(tuning, null, 2);
  if (text === JSON.stringify(await loadTuning(), null, 2)) return;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(`${path}.${process.pid}`, text);
    await rename(`${path}.${process.pid}`, path);
  } catch {
    // read-only home: fine
  }
}
