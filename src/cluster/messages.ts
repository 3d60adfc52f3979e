/** What coordinator and ranks say to each other. Every message is checked where it arrives. */
import { z } from 'zod';
import type { StreamSettings } from '../strategy/context.ts';
import { STRATEGIES } from '../strategy/index.ts';
import { TRACKS } from '../trace/events.ts';
import { KV_MODES, type TokenScores } from '../engine/index.ts';
import { DISPATCHES } from '../engine/split/shape.ts';
import { WIRE_DTYPES } from '../runtime/kernels/exchange.ts';

/** Where a rank finds its weights. */
export const modelSourceSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('folder'), path: z.string() }),
  z.object({ kind: z.literal('random'), preset: z.string(), layers: z.number().int().positive().optional(), seed: z.number().int() }),
  /** A configuration of one's own (a parsed ModelConfig). */
  z.object({ kind: z.literal('random-config'), config: z.record(z.string(), z.unknown()), seed: z.number().int() }),
]);
export type ModelSource = z.infer<typeof modelSourceSchema>;

export const TRANSPORTS = ['shared-memory', 'websocket'] as const;
export type TransportKind = (typeof TRANSPORTS)[number];

export const ACTIVATIONS = ['f32', 'f16', 'auto'] as const;
export type Activations = (typeof ACTIVATIONS)[number];

/** Everything a rank must know before it starts. */
export const setupSchema = z.object({
  runId: z.string().regex(/^[0-9a-z]+$/),
  rank: z.number().int().nonnegative(),
  world: z.number().int().positive(),
  model: modelSourceSchema,
  strategy: z.enum(STRATEGIES),
  /** Part of the adapter's name; null: the machine's preferred one. */
  adapter: z.string().nullable(),
  /** Element type of packed weights; null: as the checkpoint has them. */
  dtype: z.enum(['f32', 'f16', 'bf16']).nullable(),
  /** Operands of experts' products: f32, f16, or what the tuner finds faster. */
  activations: z.enum(ACTIVATIONS),
  /** Time the kernels' variants where no tuning is known; else the default plan. */
  tune: z.boolean(),
  /** Options of the engine, passed on as they are. */
  engine: z.record(z.string(), z.unknown()),
  stream: z.custom<Partial<StreamSettings>>((value) => typeof value === 'object' && value !== null),
  /** How bytes come to peers. */
  transport: z.enum(TRANSPORTS),
  /** Shapes all bytes between ranks; null: as fast as they go. */
  link: z.object({ bytesPerSecond: z.number().positive(), latencyMs: z.number().nonnegative() }).nullable(),
  /** Element type of activations between ranks. */
  wire: z.enum(WIRE_DTYPES),
  dispatch: z.enum(DISPATCHES),
  /** How long keys and values are kept. */
  kv: z.enum(KV_MODES),
  /** Most bytes of device memory; null: as much as there is. */
  memoryLimitBytes: z.number().positive().nullable(),
  /** A peer that is silent for so long is given up. */
  deadlineMs: z.number().positive(),
  /** Shown by ranks to each other. */
  token: z.string(),
  /** Where the rank listens (WebSocket). */
  listen: z.string(),
  /** PEM files (WebSocket over TLS); null: plain. */
  tls: z.object({ certificate: z.string(), key: z.string(), authority: z.string().exactOptional() }).nullable(),
  /** Largest bank, bytes; null: what the adapter can bind. */
  bankBytes: z.number().positive().nullable(),
  /** Report events for the timeline. */
  trace: z.boolean(),
});
export type RankSetup = z.infer<typeof setupSchema>;

/** Kernels chosen by measurement: what they were measured for -> what the tuner returned. Opaque here. */
export const tuningSchema = z.record(z.string(), z.unknown());
export type Tuning = z.infer<typeof tuningSchema>;

const count = z.number().int().nonnegative();
const isTyped = (type: typeof Float32Array | typeof Uint32Array | typeof Float64Array) => (value: unknown): boolean => value instanceof type;
const tokens = z.custom<Uint32Array>(isTyped(Uint32Array), 'expected a Uint32Array');

export const toRankSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('start'), setup: setupSchema }),
  z.object({ type: z.literal('tune') }),
  z.object({ type: z.literal('connect'), addresses: z.array(z.string()) }),
  z.object({ type: z.literal('publish') }),
  z.object({ type: z.literal('prepare'), addresses: z.array(z.string()), tuning: tuningSchema }),
  /** Nothing is read from segments any more. */
  z.object({ type: z.literal('release') }),
  z.object({
    type: z.literal('warm'),
    /** The smallest chunk of all ranks, where they compute batches together. */
    chunkTokens: z.number().positive().nullable(),
  }),
  /** Time a pass of `tokens` tokens, and the best product of matrices. */
  z.object({ type: z.literal('measure'), tokens: z.int().positive() }),
  z.object({
    type: z.literal('pass'), pass: count, sequences: z.array(tokens), candidates: tokens.nullable(),
    /** Last positions of each sequence that are scored; null: none. And how many of the most likely tokens are told at each. */
    scored: z.array(count).nullable(), top: count,
    /** Where ranks compute a batch together: lengths of each rank's sequences, or one list of all. */
    lengths: z.array(z.array(count)).nullable(),
    /** Passes that go through the layers together, this one among them, so that ranks agree on it; 1 by default. */
    together: z.int().positive().optional(),
  }),
  z.object({ type: z.literal('close') }),
]);
export type ToRank = z.infer<typeof toRankSchema>;

const memoryRow = z.object({ name: z.string(), where: z.enum(['device', 'host']), expectedBytes: z.number(), allocatedBytes: z.number() });

const passStats = z.object({
  pass: count,
  rank: count,
  sequences: count,
  tokens: count,
  /** True FLOPs of the batch. */
  flops: z.number(),
  /** Epoch milliseconds at which the rank began the pass. */
  startEpochMs: z.number(),
  wallMs: z.number(),
  /** Sums over the layers gathered since the rank's pass before; see `LayerStats`. */
  gatherMs: z.number(),
  copyMs: z.number(),
  waitedMs: z.number(),
  exposedMs: z.number(),
  hostBytes: z.number(),
  /** Bytes over the link: experts, or activations. */
  sentBytes: z.number(),
  receivedBytes: z.number(),
  /** Time in which a transfer of this rank was under way. */
  transferMs: z.number(),
  /** (token, expert) pairs that this rank computed. */
  expertRows: z.number(),
  /** Whatever else the engine counted. */
  engine: z.record(z.string(), z.unknown()),
});
export type PassStats = z.infer<typeof passStats>;

const floats = z.custom<Float32Array>(isTyped(Float32Array), 'expected a Float32Array');
const hashes = z.custom<Float64Array>(isTyped(Float64Array), 'expected a Float64Array');

const scores: z.ZodType<TokenScores> = z.object({ top: count, normalizers: floats, nextLogits: floats, topTokens: tokens, topLogits: floats });

/** Blocks (by hash) that came into the engine's prefix cache, and that left it. */
const cacheEvents = z.object({ materialised: hashes, evicted: hashes });

const failure = z.object({
  /** The rank at fault, where one is known. */
  rank: count.nullable(),
  name: z.string(), message: z.string(), stack: z.string(),
  /** Parts of an InputError, to make it anew. */
  input: z.object({ source: z.string(), field: z.string(), problem: z.string() }).nullable(),
});

const traceEvent = z.object({
  name: z.string(),
  rank: count,
  track: z.enum(TRACKS),
  /** From a rank: microseconds since the epoch. */
  startUs: z.number(),
  durationUs: z.number(),
  args: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
});

export const fromRankSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('heartbeat') }),
  z.object({ type: z.literal('hello'), adapter: z.string(), tuningKey: z.string(), software: z.boolean(), modelHash: z.string(), address: z.string().nullable(),
    /** What a sequence may hold. */
    limits: z.object({ vocabSize: z.int().positive(), maxPositionEmbeddings: z.int().positive() }) }),
  z.object({ type: z.literal('tuned'), tuning: z.unknown() }),
  z.object({ type: z.literal('progress'), phase: z.enum(['loading', 'preparing']), done: count, total: count }),
  z.object({ type: z.literal('published'), address: z.string() }),
  z.object({ type: z.literal('connected') }),
  z.object({ type: z.literal('prepared'), chunkTokens: z.number().positive().nullable() }),
  z.object({
    type: z.literal('warmed'), memory: z.array(memoryRow),
    /** t_EP: time of the slowest gather of a layer in the last warm-up pass, segment to slot; 0 where nothing is gathered. */
    gatherMs: z.number(),
    /** Most KV blocks of one batch, and of the prefix cache. */
    maxBatchBlocks: count, cacheBlocks: count,
  }),
  /** FLOP/s of a pass, and of the best product. */
  z.object({ type: z.literal('measured'), passFlopsPerSecond: z.number(), peakFlopsPerSecond: z.number() }),
  z.object({ type: z.literal('result'), pass: count, logits: floats, width: count,
    /** Which of the batch's sequences the rows are of; null: all, in order. */
    rows: z.array(count).nullable(),
    scores: scores.nullable(),
    /** Tokens of each sequence that were not computed, because an earlier one has the same; null: of none. */
    cachedTokens: z.array(count).nullable(),
    cache: cacheEvents,
    stats: passStats, memory: z.array(memoryRow) }),
  /** The pass cannot be run, and nothing of it was: the rank goes on. */
  z.object({ type: z.literal('refused'), pass: count, error: failure }),
  z.object({ type: z.literal('trace'), events: z.array(traceEvent) }),
  z.object({ type: z.literal('failed'), error: failure }),
]);
export type FromRank = z.infer<typeof fromRankSchema>;
export type RankFailure = z.infer<typeof failure>;
