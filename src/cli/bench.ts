/** `asyncep bench`: what is measured on this machine, one command each. */
import type { Command } from 'commander';
import { addBenchRouter } from './bench-router.ts';
import { addBenchServing } from './bench-serving.ts';
import { addBenchStrategies } from './bench-strategies.ts';

const EXAMPLES = `
Examples:
  $ asyncep bench strategies
  $ asyncep bench router
  $ asyncep bench serving --model models/spam-mail --ranks 2
  $ asyncep bench strategies --help`;

/** Adds the command to the program. */
export function addBench(program: Command): void {
  const bench = program.command('bench').description('measure on this machine').addHelpText('after', EXAMPLES);
  addBenchStrategies(bench);
  addBenchRouter(bench);
  addBenchServing(bench);
}
