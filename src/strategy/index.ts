/** The ways in which ranks share one model's experts. */
import type { KvMode } from '../engine/index.ts';
import { InputError } from '../errors.ts';
import { createAsyncEP } from './asyncep.ts';
import type { CountedStream, StreamContext } from './context.ts';
import { checkOffload } from './offload.ts';
import { createResident } from './resident.ts';
import { dpTp } from './dp-tp.ts';
import { ep } from './ep.ts';
import type { RowStrategyDefinition } from './model-part.ts';
import { pp } from './pp.ts';
import { createSync } from './sync.ts';
import { tp } from './tp.ts';
import { tpEp } from './tp-ep.ts';

/** Weights travel, or nothing does; each rank computes batches of its own. */
export const STREAM_STRATEGIES = ['asyncep', 'sync', 'resident'] as const;
export type StreamStrategy = (typeof STREAM_STRATEGIES)[number];

/** Rows of activations travel; all ranks compute every batch together: the baselines of the paper. */
export const ROW_STRATEGIES = ['ep', 'dp-tp', 'tp-ep', 'tp', 'pp'] as const;
export type RowStrategy = (typeof ROW_STRATEGIES)[number];

export const STRATEGIES = [...STREAM_STRATEGIES, ...ROW_STRATEGIES] as const;
export type Strategy = (typeof STRATEGIES)[number];

const definitions: Record<RowStrategy, RowStrategyDefinition> = { ep, 'dp-tp': dpTp, 'tp-ep': tpEp, tp, pp };

/** How a strategy splits the model; undefined where weights travel. */
export const rowStrategy = (strategy: Strategy): RowStrategyDefinition | undefined => definitions[strategy as RowStrategy];

/** @throws InputError for a prefix cache where ranks compute batches together */
export function checkKv(strategy: Strategy, kv: KvMode): void {
  if (kv !== 'cache' || rowStrategy(strategy) === undefined) return;
  throw new InputError('--kv', 'cache', `under ${strategy} all ranks compute every batch together and know its rows from the lengths alone, whatever a rank has cached; ` +
    `expected ${STREAM_STRATEGIES.join(', ')}, or --kv layer or none`);
}

const creators: Record<StreamStrategy, (context: StreamContext) => Promise<CountedStream>> = {
  asyncep: createAsyncEP,
  sync: createSync,
  resident: createResident,
};

/**
 * Loads what the strategy keeps on the device and starts its stream.
 * @throws InputError when settings and strategy do not go together, SegmentError when a shard is damaged
 */
export async function createStream(strategy: StreamStrategy, context: StreamContext): Promise<CountedStream> {
  checkOffload(strategy, context);
  return creators[strategy](context);
}

export type { CountedStream, StreamContext, StreamSettings } from './context.ts';
export type { ModelPart, RowStrategyDefinition } from './model-part.ts';
export { MessengerExchange, type ExchangeEvent } from './row-exchange.ts';
export type { StreamEvent, StreamStats } from './stats.ts';
export { checkOffload } from './offload.ts';
export { relayPass } from './relay.ts';
export { SharedStream } from './shared-stream.ts';
export { overlapEfficiency } from './stats.ts';
