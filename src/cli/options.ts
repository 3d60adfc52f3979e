/** Flags that several commands share, and how their values are read. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { ACTIVATIONS, type Activations } from '../cluster/index.ts';
import { presetNames } from '../model/presets.ts';
import { STRATEGIES, type Strategy } from '../strategy/index.ts';
import type { ModelFlags } from './model-source.ts';

const PRECISIONS = ['f32', 'bf16', 'f16'] as const;
export type Precision = (typeof PRECISIONS)[number];

/** Flags of every command that runs the model. */
export interface RunOptions extends ModelFlags {
  readonly ranks: number;
  readonly strategy: Strategy;
  /** One per rank in turn; the preferred adapter of the machine when not given. */
  readonly adapters?: readonly string[];
  /** Tokens of one pass at most. */
  readonly batchTokens: number;
  /** Element type of weights on the device; as stored when not given. */
  readonly precision?: Precision;
  readonly activations?: Activations;
  readonly trace?: string;
}

/** Flags of every command that prints answers. */
export interface OutputOptions {
  readonly json?: true;
  readonly output?: string;
}

/** A whole number of at least `least`. */
export const wholeNumber = (least: number) => (text: string): number => {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new InvalidArgumentError(`expected a whole number of at least ${least}`);
};

/** `a,b,c` without empty parts. */
export function commaList(text: string): string[] {
  const parts = text.split(',').map((part) => part.trim());
  if (parts.includes('')) throw new InvalidArgumentError('expected names separated by commas, none of them empty');
  return parts;
}

/** `1,2,3` as token ids. */
export const tokenList = (text: string): number[] => commaList(text).map(wholeNumber(0));

/** Adds the flags of {@link RunOptions}. */
export const withRunOptions = (command: Command): Command => command
  .requiredOption('--model <dir>', 'Hugging Face folder of a Qwen3-MoE model')
  .option('--random-weights <seed>', `random weights for the shape of --model: a folder with config.json, ${presetNames.join(' or ')}`, wholeNumber(0))
  .option('--layers <n>', 'with random weights: only the first n layers', wholeNumber(1))
  .option('--ranks <n>', 'device processes that share the experts', wholeNumber(1), 1)
  .addOption(new Option('--strategy <name>', 'how experts come to a rank').choices(STRATEGIES).default('asyncep'))
  .option('--adapters <list>', 'parts of adapter names, one per rank in turn (see doctor)', commaList)
  .option('--batch-tokens <n>', 'tokens of one pass at most, unless one prompt is longer', wholeNumber(1), 4096)
  .addOption(new Option('--activations <type>', 'operands of the experts: auto takes f16 where it is faster').choices(ACTIVATIONS).default('f32'))
  .addOption(new Option('--precision <type>', 'element type of weights on the device; as stored when not given').choices(PRECISIONS))
  .option('--trace <file>', 'write the timeline as Chrome trace JSON, for ui.perfetto.dev');

/** Adds the flags of {@link OutputOptions}. */
export const withOutputOptions = (command: Command): Command => command
  .option('--json', 'print JSON lines as answers come, instead of a table')
  .option('--output <file>', 'write JSON lines to a file as answers come');
