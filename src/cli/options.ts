/** Flags that several commands share, and how their values are read. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { ACTIVATIONS, TRANSPORTS, type Activations, type ClusterOptions, type TransportKind } from '../cluster/index.ts';
import { InputError } from '../errors.ts';
import { presetNames } from '../model/presets.ts';
import { parseLink, type Link } from '../collective/link.ts';
import { KV_MODES, type KvMode } from '../engine/index.ts';
import { DISPATCHES, type Dispatch } from '../engine/split/shape.ts';
import { WIRE_DTYPES, type WireDtype } from '../runtime/kernels/exchange.ts';
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
  readonly transport: TransportKind;
  readonly link?: Link;
  readonly wire: WireDtype;
  readonly dispatch: Dispatch;
  /** Layers held on the device ahead of the one that computes, while own experts stay in host memory; 0: they stay on the device. */
  readonly offload: number;
  readonly kv: KvMode;
  /** Bytes for each rank, with `kv: 'cache'`. */
  readonly prefixCache?: number;
  /** Bytes. */
  readonly deviceMemory?: number;
  /** Seconds. */
  readonly deadline: number;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
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

/** How ranks meet when no flag says otherwise. */
export const WORLD_DEFAULTS = { transport: 'shared-memory', wire: 'f32', dispatch: 'rank', offload: 0, kv: 'layer', deadline: 10 } as const;

const BYTE_UNITS: Readonly<Record<string, number>> = { '': 1, kB: 1e3, MB: 1e6, GB: 1e9, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** `64MB`, `1.5GiB`: bytes. */
export function byteCount(text: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text) ?? [];
  const bytes = Math.floor(Number(number) * (BYTE_UNITS[unit] ?? NaN));
  if (bytes > 0) return bytes;
  throw new InvalidArgumentError('expected a number of bytes such as 64MB or 1.5GiB');
}

/** A number of seconds above zero. */
export function seconds(text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('expected a number of seconds above zero');
}

/** `a,b,c` without empty parts. */
export function commaList(text: string): string[] {
  const parts = text.split(',').map((part) => part.trim());
  if (parts.includes('')) throw new InvalidArgumentError('expected names separated by commas, none of them empty');
  return parts;
}

/** `1,2,3` as token ids. */
export const tokenList = (text: string): number[] => commaList(text).map(wholeNumber(0));

/** @throws InputError when one of certificate and key is missing, or nothing would be encrypted */
export function tlsOf({ tlsCert, tlsKey, tlsCa, transport }: Pick<RunOptions, 'tlsCert' | 'tlsKey' | 'tlsCa' | 'transport'>): ClusterOptions['tls'] {
  if (tlsCert === undefined && tlsKey === undefined && tlsCa === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) throw new InputError(tlsCert === undefined ? '--tls-cert' : '--tls-key', '', 'is missing; expected certificate and key together');
  if (transport !== 'websocket') throw new InputError('--tls-cert', '', `has no use with --transport ${transport}; expected --transport websocket`);
  return { certificate: tlsCert, key: tlsKey, ...(tlsCa !== undefined && { authority: tlsCa }) };
}

/** Adds the flags of {@link RunOptions}. */
export const withRunOptions = (command: Command): Command => command
  .requiredOption('--model <dir>', 'Hugging Face folder of a Qwen3-MoE model')
  .option('--random-weights <seed>', `random weights for the shape of --model: a folder with config.json, ${presetNames.join(' or ')}`, wholeNumber(0))
  .option('--layers <n>', 'with random weights: only the first n layers', wholeNumber(1))
  .option('--ranks <n>', 'device processes that share the model', wholeNumber(1), 1)
  .addOption(new Option('--strategy <name>', 'how ranks share the model').choices(STRATEGIES).default('asyncep'))
  .option('--adapters <list>', 'parts of adapter names, one per rank in turn (see doctor)', commaList)
  .option('--batch-tokens <n>', 'tokens of one pass at most, unless one prompt is longer', wholeNumber(1), 4096)
  .addOption(new Option('--activations <type>', 'operands of the experts: auto takes f16 where it is faster').choices(ACTIVATIONS).default('f32'))
  .addOption(new Option('--precision <type>', 'element type of weights on the device; as stored when not given').choices(PRECISIONS))
  .addOption(new Option('--transport <name>', 'how bytes come to other ranks').choices(TRANSPORTS).default(WORLD_DEFAULTS.transport))
  .option('--link <rate[,latency]>', 'what a link between ranks carries in each direction, such as 2GB/s,50us; as fast as it goes when not given', parseLink)
  .addOption(new Option('--wire <type>', 'element type of activations between ranks').choices(WIRE_DTYPES).default(WORLD_DEFAULTS.wire))
  .addOption(new Option('--dispatch <unit>', 'ep, tp-ep: a token travels once to each rank that has one of its experts, or once for each expert').choices(DISPATCHES).default(WORLD_DEFAULTS.dispatch))
  .option('--offload <k>', 'own experts stay in host memory, k layers are held on the device ahead of the one that computes', wholeNumber(0), WORLD_DEFAULTS.offload)
  .addOption(new Option('--kv <mode>', 'keys and values are kept for a layer; not at all: given back as soon as their sequence has ended; or as a cache of prefixes that sequences and batches share').choices(KV_MODES).default(WORLD_DEFAULTS.kv))
  .option('--prefix-cache <bytes>', 'device memory of each rank for the cache of --kv cache; 256MiB when not given', byteCount)
  .option('--device-memory <bytes>', 'allowance of each rank, such as 64MB', byteCount)
  .option('--tls-cert <file>', 'websocket: encrypt with this certificate (PEM); needs --tls-key')
  .option('--tls-key <file>', 'websocket: the key of the certificate (PEM)')
  .option('--tls-ca <file>', 'websocket: who must have signed the certificates of other ranks (PEM); the certificate itself when not given')
  .option('--deadline <seconds>', 'a rank that gives no sign of life for so long is given up', seconds, WORLD_DEFAULTS.deadline)
  .option('--trace <file>', 'write the timeline as Chrome trace JSON, for ui.perfetto.dev');

/** Adds the flags of {@link OutputOptions}. */
export const withOutputOptions = (command: Command): Command => command
  .option('--json', 'print JSON lines as answers come, instead of a table')
  .option('--output <file>', 'write JSON lines to a file as answers come');
