/** How a rank process is started. */
import { spawn, type ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { programArguments, programUrl } from '../node/program-arguments.ts';

const entry = new URL(import.meta.url.endsWith('.ts') ? './rank-main.ts' : './rank-main.js', import.meta.url).href;

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
  const args = [...wrapping, ...programArguments(entry), ...(backendModule === undefined ? [] : [programUrl(backendModule)])];
  return spawn(program as string, args, {
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { LP_NUM_THREADS: String(rankThreads(world)), ...process.env },
  });
}
