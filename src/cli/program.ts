/** The command line as a whole; every command is a file beside this one. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { packageRoot } from '../node/shaders.ts';
import { addBatch } from './batch.ts';
import { addBench } from './bench.ts';
import { addClassify } from './classify.ts';
import { addDemo } from './demo.ts';
import { addDoctor } from './doctor.ts';
import { addLearn } from './learn.ts';
import { addLogits } from './logits.ts';
import { addPlan } from './plan.ts';
import { addRerank } from './rerank.ts';
import { addServe } from './serve.ts';
import { addSetup } from './setup.ts';
import { addTimeline } from './timeline.ts';
import { addVerify } from './verify.ts';

const { version } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string };

const EXAMPLES = `
Examples:
  $ asyncep demo
  $ asyncep classify --model models/spam-mail --template models/spam-mail/template.jinja --labels spam,ham mail.txt
  $ asyncep doctor

Exit codes: 0 done, 1 failed while running, 2 bad input or usage, 3 no adapter.`;

/** The program with all its commands; parsing errors are thrown instead of ending the process. */
export function buildProgram(): Command {
  const program = new Command('asyncep')
    .description('Prefill-only serving of mixture-of-experts language models on WebGPU.')
    .version(version)
    .option('--verbose', 'print the stack of an error')
    .addHelpText('after', EXAMPLES)
    .showHelpAfterError('(--help shows the flags and examples)')
    .exitOverride();
  addClassify(program);
  addRerank(program);
  addVerify(program);
  addServe(program);
  addBatch(program);
  addLogits(program);
  addDemo(program);
  addTimeline(program);
  addLearn(program);
  addBench(program);
  addPlan(program);
  addDoctor(program);
  addSetup(program);
  return program;
}
