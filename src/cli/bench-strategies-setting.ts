/** What `bench strategies` runs: its flags, the model, the workload and the link of each number of ranks. */
import type { ModelSource } from '../cluster/index.ts';
import { MAX_RANKS } from '../collective/partition.ts';
import { formatLink, parseLink, type Link } from '../collective/link.ts';
import { InputError } from '../errors.ts';
import { parseConfig } from '../model/config.ts';
import { presetConfig } from '../model/presets.ts';
import type { ModelConfig } from '../model/types.ts';
import type { Dispatch, Wire } from '../sim/collectives.ts';
import { hardwareOf, paperLink } from '../sim/hardware.ts';
import { SIM_STRATEGIES, type SimStrategy } from '../sim/run-shape.ts';
import type { Workload } from '../sim/workload.ts';
import { chooseModel } from './model-source.ts';
import type { Precision } from './options.ts';
import { chooseWorkload, promptsOf } from './workload.ts';

export interface StrategiesFlags {
  readonly model: string;
  readonly randomWeights?: number;
  readonly layers?: number;
  readonly ranks: readonly number[];
  readonly strategies: readonly string[];
  readonly workload: string;
  readonly tokens: number;
  readonly context: number;
  readonly seed: number;
  readonly link: string;
  readonly transport: 'shared-memory' | 'websocket';
  readonly wire: Wire;
  readonly dispatch: Dispatch;
  readonly batchTokens: number;
  readonly repetitions: number;
  readonly adapters?: readonly string[];
  readonly precision?: Precision;
  readonly json?: string;
  readonly csv?: string;
  readonly html?: string;
}

/** Name of the model that is made for this bench. */
export const BENCH_MODEL = 'bench';

/**
 * Small enough for a software adapter, in the proportions of Qwen3-235B-A22B where they decide who wins: experts take 70 % of a token's FLOPs
 * without attention scores (68 % there), and k x width over a row's bytes keeps dispatch as heavy beside the experts' compute as there
 * (the rows that a token sends are fewer with fewer ranks). A quarter of the experts is chosen, not a sixteenth: so a gather is hidden from
 * a quarter of the tokens, and a run takes minutes instead of hours.
 */
const BENCH_CONFIG = {
  model_type: 'qwen3_moe', vocab_size: 2048, hidden_size: 256, intermediate_size: 1024, num_hidden_layers: 4, num_attention_heads: 16, num_key_value_heads: 4,
  head_dim: 64, num_experts: 16, num_experts_per_tok: 4, moe_intermediate_size: 640, norm_topk_prob: true, max_position_embeddings: 131_072, torch_dtype: 'bfloat16',
};

/** The model with its random weights, or as it is stored. */
export interface BenchModel {
  readonly source: ModelSource;
  readonly config: ModelConfig;
}

/** @throws InputError for a model that cannot be used */
export async function chooseBenchModel({ model, randomWeights, layers }: Pick<StrategiesFlags, 'model' | 'randomWeights' | 'layers'>): Promise<BenchModel> {
  if (model !== BENCH_MODEL) {
    return chooseModel({ model, ...(randomWeights === undefined ? {} : { randomWeights }), ...(layers === undefined ? {} : { layers }) });
  }
  const config = parseConfig({ ...BENCH_CONFIG, ...(layers === undefined ? {} : { num_hidden_layers: layers }) }, BENCH_MODEL);
  return { source: { kind: 'random-config', config: { ...config }, seed: randomWeights ?? 1 }, config };
}

const ELEMENT_BYTES = { F32: 4, F16: 2, BF16: 2 } as const;
const PRECISION_BYTES = { f32: 4, f16: 2, bf16: 2 } as const;

/** Everything that does not depend on the number of ranks. */
export interface Setting {
  readonly flags: StrategiesFlags;
  readonly model: BenchModel;
  readonly strategies: readonly Variant[];
  readonly workload: Workload;
  readonly prompts: readonly Uint32Array[];
  /** Tokens whose logits are compared, spread over the vocabulary. */
  readonly candidates: Uint32Array;
  /** Of a weight as it travels. */
  readonly weightBytes: number;
}

const CANDIDATES = 32;

/** A strategy as it is to be run; parts of its name say what differs from the flags. */
export interface Variant {
  /** As it was asked for: `ep`, `ep:expert`, `tp:serial`. */
  readonly label: string;
  readonly strategy: SimStrategy;
  readonly dispatch?: Dispatch;
  readonly passesInFlight?: number;
  /** Not part of a name: for benches that build variants themselves. */
  readonly batchTokens?: number;
}

const VARIANTS: Readonly<Record<string, Omit<Variant, 'label' | 'strategy' | 'batchTokens'>>> = {
  expert: { dispatch: 'expert' }, rank: { dispatch: 'rank' }, serial: { passesInFlight: 1 },
};

/** @throws InputError for an unknown strategy, or an unknown part behind its name */
export function parseVariant(label: string): Variant {
  const [name = '', ...parts] = label.split(':');
  const strategy = SIM_STRATEGIES.find((known) => known === name);
  if (strategy === undefined) throw new InputError('--strategies', name, `is unknown; expected some of ${SIM_STRATEGIES.join(', ')}`);
  const unknown = parts.find((part) => !Object.hasOwn(VARIANTS, part));
  if (unknown !== undefined) throw new InputError('--strategies', label, `has an unknown part ${unknown}; expected some of ${Object.keys(VARIANTS).join(', ')}`);
  return Object.assign({ label, strategy }, ...parts.map((part) => VARIANTS[part])) as Variant;
}

/**
 * @param given instead of the model that the flags name
 * @throws InputError for whatever can be seen to be wrong before a rank starts
 */
export async function prepareSetting(flags: StrategiesFlags, given?: BenchModel): Promise<Setting> {
  const strategies = flags.strategies.map(parseVariant);
  const wrong = flags.ranks.find((ranks) => ranks > MAX_RANKS);
  if (wrong !== undefined) throw new InputError('--ranks', '', `${wrong} ranks asked for; expected whole numbers from 1 to ${MAX_RANKS}`);
  checkLinkFlag(flags.link);
  const model = given ?? (await chooseBenchModel(flags));
  const { vocabSize, dtype } = model.config;
  const workload = await chooseWorkload(flags.workload, model.config, { longestContext: flags.context, tokens: flags.tokens, seed: flags.seed });
  const candidates = Uint32Array.from({ length: Math.min(CANDIDATES, vocabSize) }, (_, i) => Math.floor((i * vocabSize) / Math.min(CANDIDATES, vocabSize)));
  const weightBytes = flags.precision === undefined ? ELEMENT_BYTES[dtype] : PRECISION_BYTES[flags.precision];
  return { flags, model, strategies, workload, prompts: promptsOf(workload, model.config, flags.seed), candidates, weightBytes };
}

const PAPER = 'paper:';
const NO_LINK = 'none';

/** Whether the link is that of the paper's hardware. */
export const isPaperLink = (text: string): boolean => text.startsWith(PAPER);

function checkLinkFlag(text: string): void {
  if (text.startsWith(PAPER)) hardwareOf(text.slice(PAPER.length));
  else if (text !== NO_LINK) parseLink(text);
}

/** The link of a world, with the arithmetic that led to it. */
export interface ChosenLink {
  /** null: as fast as the transport is. */
  readonly link: Link | null;
  readonly lines: readonly string[];
}

/** @param flopsPerSecond measured, of one rank */
export function linkFor({ flags, model, weightBytes }: Setting, ranks: number, flopsPerSecond: number): ChosenLink {
  const { link: text } = flags;
  if (text === NO_LINK) return { link: null, lines: ['the link is as fast as the transport'] };
  if (!text.startsWith(PAPER)) return { link: parseLink(text), lines: [`the link is given: ${formatLink(parseLink(text))}`] };
  const hardware = hardwareOf(text.slice(PAPER.length));
  const { bytesPerSecond, lines } = paperLink(hardware, { ranks, flopsPerSecond, config: model.config, weightBytes }, presetConfig('qwen3-235b-a22b'));
  return { link: bytesPerSecond === null ? null : { bytesPerSecond, latencyMs: 0 }, lines };
}
