/** How a rank process is started. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** From the checkout TypeScript runs through tsx; from the package plain JavaScript does. */
const fromSource = import.meta.url.endsWith('.ts');
const entry = fileURLToPath(new URL(fromSource ? './rank-main.ts' : './rank-main.js', import.meta.url));

function loaderArguments(): string[] {
  if (!fromSource) return [];
  return ['--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href];
}

/**
 * lavapipe computes on as many threads as there are cores, in every process: N ranks would get in each other's way.
 * Read when the driver is loaded, so it must stand in the environment at birth. Other drivers ignore it. (SwiftShader has such a
 * setting only in a SwiftShader.ini of the working directory, which is the user's.)
 */
export const rankThreads = (world: number, cores: number = availableParallelism()): number => Math.max(1, Math.floor(cores / world));

/**
 * Starts one rank; its standard error is piped, its standard output goes nowhere (it belongs to the command's results).
 * @param command put before the command line; it must hand file descriptors and environment on
 */
export function spawnRank(world: number, backendModule: string | undefined, command: readonly string[] = []): ChildProcess {
  const [program, ...wrapping] = [...command, process.execPath];
  const args = [...wrapping, ...loaderArguments(), entry, ...(backendModule === undefined ? [] : [backendModule])];
  return spawn(program as string, args, {
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { LP_NUM_THREADS: String(rankThreads(world)), ...process.env },
  });
}
