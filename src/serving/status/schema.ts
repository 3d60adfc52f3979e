/** What the server tells about itself at `/status`: the numbers that the status page shows. */
import * as z from 'zod';
import { SCHEDULERS } from '../scheduling.ts';

const count = z.int().min(0);
const share = z.number().min(0);
const percentiles = z.object({ p50: z.number(), p95: z.number(), p99: z.number() }).nullable().describe('Milliseconds; null when nothing was answered.');

const engineSchema = z.object({
  engine: count,
  adapter: z.string(),
  software: z.boolean().describe('The adapter computes on the CPU.'),
  pid: count,
  state: z.enum(['starting', 'ready', 'lost', 'gone']),
  restarts: count,
  load: z.object({
    filling_flops: z.number().describe('FLOPs of the batch that is being filled: compare with the threshold T.'),
    filling_requests: count,
    under_way: count.describe('Batches that have left and are not answered.'),
    committed_blocks: count.describe('KV blocks that are known to be in its prefix cache.'),
    pending_blocks: count.describe('KV blocks that requests under way will bring into it.'),
  }),
  cache_blocks: count.describe('KV blocks that its prefix cache holds at most.'),
  passes: count,
  below_threshold: count.describe('Passes with fewer FLOPs than T.'),
  prompt_tokens: count,
  cached_tokens: count,
  busy_ms: z.number(),
  exposed_ms: z.number().describe('Time in which the device had nothing to do because a layer waited for its experts.'),
  mfu: share.nullable().describe('FLOPs / (busy time x peak FLOP/s); null before the first pass.'),
});

const passSchema = z.object({
  engine: count,
  requests: count,
  prompt_tokens: count,
  cached_tokens: count,
  flops: z.number(),
  fill: z.number().describe('FLOPs / T; 1 where T is 0.'),
  wall_ms: z.number(),
  exposed_ms: z.number(),
  ended_ms: z.number().describe('Epoch milliseconds.'),
});

export const statusSchema = z.object({
  model: z.object({ id: z.string(), layers: count, moe_layers: count, experts: count, experts_per_token: count, max_prompt_tokens: count }),
  now_ms: z.number().describe('Epoch milliseconds.'),
  started_ms: z.number().describe('Epoch milliseconds.'),
  state: z.enum(['ready', 'degraded', 'draining']).describe('Degraded: not every engine can be given work.'),
  scheduler: z.enum(SCHEDULERS),
  saturation: z.object({
    threshold_flops: z.number().describe('T: a batch with fewer FLOPs does not hide its gathers.'),
    arithmetic: z.string().describe('How T came about.'),
  }),
  queue: z.object({ waiting: count, under_way: count.describe('Requests in passes.') }),
  counts: z.object({ accepted: count, answered: count, failed: count, rejected: count, cancelled: count, retried: count }).describe('Requests since the start; retried: runs beyond the first.'),
  recent: z.object({
    seconds: z.number().describe('Length of the stretch: the last minute, or since the start.'),
    requests_per_second: z.number(),
    tokens_per_second: z.number().describe('Prompt tokens of answered requests, cached ones included.'),
    hit_rate: share.nullable().describe('Cached tokens / prompt tokens; null when nothing was answered.'),
    latency_ms: percentiles,
    queued_ms: percentiles,
    compute_ms: percentiles,
    fill: z.number().nullable().describe('Mean of the last passes\' FLOPs / T.'),
    exposed: share.nullable().describe('Exposed time / busy time of the last passes.'),
    mfu: share.nullable().describe('Of the last passes: FLOPs / (time x peak FLOP/s).'),
  }),
  engines: z.array(engineSchema),
  passes: z.array(passSchema).describe('The last ones, the newest last.'),
  timeline_version: count.describe('Changes when there are new timeline events.'),
});
export type Status = z.infer<typeof statusSchema>;
