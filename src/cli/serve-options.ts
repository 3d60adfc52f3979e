/** Flags of `asyncep serve`. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { InputError } from '../errors.ts';
import { MAX_PROMPTS } from '../serving/operations/asking.ts';
import { parseSaturation, type SaturationMode } from '../serving/saturation.ts';
import { SCHEDULERS, type SchedulerKind } from '../serving/scheduling.ts';
import { rowStrategy, type Strategy } from '../strategy/index.ts';
import { byteCount, commaList, type RunOptions, seconds, wholeNumber, withRunOptions } from './options.ts';

/** What decides how requests are put into batches. */
export interface SchedulingFlags {
  readonly scheduler: SchedulerKind;
  readonly saturation: SaturationMode;
  readonly gamma: number;
  /** Rows of an expert in a saturated batch at least. */
  readonly fillRows: number;
  /** Milliseconds. */
  readonly maxWait: number;
  readonly maxQueue: number;
}

/** What requests may be, and what they are given where they say nothing. */
export interface RequestFlags {
  readonly modelId?: string;
  readonly labels?: readonly string[];
  readonly template?: string;
  readonly maxPromptTokens?: number;
  readonly maxPrompts: number;
}

export interface ServeFlags extends RunOptions, SchedulingFlags, RequestFlags {
  readonly host: string;
  readonly port: number;
  readonly apiKey?: string;
  readonly allowTemplates?: true;
  /** Bytes. */
  readonly maxBody: number;
  /** Seconds. */
  readonly drainSeconds: number;
  readonly requestTimeout: number;
  readonly keepAlive: number;
  readonly timeline: boolean;
}

/** `kv` where the user says nothing: a cache of prefixes wherever ranks can have one. */
const defaultKv = (strategy: Strategy): RunOptions['kv'] => (rowStrategy(strategy) === undefined ? 'cache' : 'layer');

/** The flags as a service takes them. */
export const servingFlags = <Flags extends RunOptions>(flags: Flags, command: Command): Flags =>
  (command.getOptionValueSource('kv') === 'default' ? { ...flags, kv: defaultKv(flags.strategy) } : flags);

function saturation(text: string): SaturationMode {
  try {
    return parseSaturation(text);
  } catch (error) {
    throw new InvalidArgumentError((error as InputError).problem);
  }
}

/** The value of `--port`. */
export function portNumber(text: string): number {
  const port = wholeNumber(0)(text);
  if (port < 65_536) return port;
  throw new InvalidArgumentError('expected a port from 0 (any that is free) to 65535');
}

function gamma(text: string): number {
  const value = Number(text);
  if (value >= 1 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('expected a number of at least 1');
}

function milliseconds(text: string): number {
  const value = Number(text);
  if (value >= 0 && Number.isFinite(value) && text.trim() !== '') return value;
  throw new InvalidArgumentError('expected a number of milliseconds from 0');
}

function someText(text: string): string {
  if (text.trim() === '') throw new InvalidArgumentError('expected a text that is not empty');
  return text;
}

/** Adds the run flags with the defaults of a server, and the flags of {@link SchedulingFlags}. */
export function withSchedulingOptions(command: Command): Command {
  withRunOptions(command);
  const kv = command.options.find(({ long }) => long === '--kv');
  if (kv !== undefined) kv.defaultValueDescription = 'cache; layer where ranks compute batches together';
  return command
    .addOption(new Option('--scheduler <name>', 'how a request finds its rank: prefix is the paper\'s, grouped the same with requests that share a prefix one after the other').choices(SCHEDULERS).default('grouped'))
    .option('--saturation <rate>', 'the rate F in T = layers x t_EP x F x gamma: peak, measured, or FLOP/s such as 1.5TFLOPS', saturation, 'peak')
    .option('--gamma <factor>', 'margin of T', gamma, 1.2)
    .option('--fill-rows <n>', 'T is at least a batch that gives an expert so many rows, a full tile; 0: only what hides the gathers', wholeNumber(0), 64)
    .option('--max-wait <ms>', 'a batch below T leaves when its oldest request has waited so long', milliseconds, 50)
    .option('--max-queue <n>', 'requests that may wait; more are told to come back (429)', wholeNumber(1), 8192);
}

/** Adds the flags of {@link RequestFlags}. */
export const withRequestOptions = (command: Command): Command => command
  .option('--model-id <name>', 'what clients call the model; the name of its folder when not given', someText)
  .option('--labels <a,b,...>', 'labels of /v1/classify where a request names none', commaList)
  .option('--template <file>', 'Jinja template of /v1/classify where a request has none')
  .option('--max-prompt-tokens <n>', 'longest prompt; what the model has positions for when not given', wholeNumber(1))
  .option('--max-prompts <n>', 'most prompts of one request', wholeNumber(1), MAX_PROMPTS);

/** Adds all flags. */
export const withServeOptions = (command: Command): Command => withRequestOptions(withSchedulingOptions(command))
  .option('--host <address>', 'address to listen on; 0.0.0.0 is every one of this machine', '127.0.0.1')
  .option('--port <n>', '0 takes any that is free', portNumber, 8000)
  .addOption(new Option('--api-key <key>', 'what clients must send as "Authorization: Bearer KEY"').argParser(someText).env('ASYNCEP_API_KEY'))
  .option('--allow-templates', 'take templates from requests though other machines can send them: rendering one may cost anything')
  .addOption(new Option('--max-body <bytes>', 'largest body of a request').argParser(byteCount).default(32 * 2 ** 20, '32MiB'))
  .option('--request-timeout <seconds>', 'a request that is not answered by then is withdrawn', seconds, 600)
  .option('--keep-alive <seconds>', 'idle connections are kept for so long', seconds, 75)
  .option('--drain-seconds <seconds>', 'what was accepted has so long to be answered after SIGTERM or SIGINT', seconds, 30)
  .option('--no-timeline', 'do not record the last passes for the status page');

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|::1)$/;

/** Only programs of this machine can connect. */
export const isLoopback = (host: string): boolean => LOOPBACK.test(host);
