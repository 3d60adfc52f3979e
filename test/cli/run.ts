/** Runs the command line inside the test's process and catches what it says. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, vi } from 'vitest';
import { reportFailure } from '../../src/cli/failure.ts';
import { buildProgram } from '../../src/cli/program.ts';

export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** As main.ts does it, without a process of its own. */
export async function run(...args: string[]): Promise<Outcome> {
  const said = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((name) => vi.spyOn(process[name], 'write').mockImplementation((text) => {
    said[name] += String(text);
    return true;
  }));
  const program = buildProgram();
  let exitCode = 0;
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    exitCode = reportFailure(error, program.opts<{ verbose?: true }>().verbose === true);
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return { exitCode, ...said };
}

/** A folder for this test file, removed at its end, with a writer of files in it. */
export function scratch(): { folder: string; file: (name: string, text: string | Uint8Array) => string } {
  const folder = mkdtempSync(join(tmpdir(), 'asyncep-test-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return {
    folder,
    file(name, text) {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    },
  };
}

export const FIXTURE = 'test/fixtures/base-f32';

/** A tiny model with the tokenizer of the demo model: for texts, with random weights. */
export function tinyTextModel(folder: string, config: object): string {
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) cpSync(join('models/spam-mail', name), join(folder, name));
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  return folder;
}
