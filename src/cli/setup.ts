/** `asyncep setup`: the set-up of the checkout, for those who installed the package. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Command } from 'commander';
import { packageRoot } from '../node/shaders.ts';

/** Adds the command to the program. */
export function addSetup(program: Command): void {
  program.command('setup')
    .description('install a software adapter where this machine has no WebGPU adapter')
    .option('--no-system', 'never touch the system, even as root: SwiftShader in the user\'s cache folder')
    .action(({ system }: { system: boolean }) => {
      const args = [join(packageRoot, 'scripts/setup.mjs'), ...(system ? [] : ['--no-system'])];
      process.exitCode = spawnSync(process.execPath, args, { stdio: 'inherit' }).status ?? 1;
    });
}
