#!/usr/bin/env node
/** Entry of the command line. */
import { reportFailure } from './failure.ts';
import { buildProgram } from './program.ts';

// A reader that has seen enough (`| head`) closes the pipe; that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

const program = buildProgram();
try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = reportFailure(error, program.opts<{ verbose?: true }>().verbose === true);
}
