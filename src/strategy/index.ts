/** The ways in which ranks share one model's experts. */
import { createAsyncEP } from './asyncep.ts';
import type { CountedStream, StreamContext } from './context.ts';
import { checkOffload } from './offload.ts';
import { createResident } from './resident.ts';
import { createSync } from './sync.ts';

export const STRATEGIES = ['asyncep', 'sync', 'resident'] as const;
export type Strategy = (typeof STRATEGIES)[number];

const creators: Record<Strategy, (context: StreamContext) => Promise<CountedStream>> = {
  asyncep: createAsyncEP,
  sync: createSync,
  resident: createResident,
};

/**
 * Loads what the strategy keeps on the device and starts its stream.
 * @throws InputError when settings and strategy do not go together, SegmentError when a shard is damaged
 */
export async function createStream(strategy: Strategy, context: StreamContext): Promise<CountedStream> {
  checkOffload(strategy, context);
  return creators[strategy](context);
}

export type { CountedStream, StreamContext, StreamSettings } from './context.ts';
export type { StreamEvent, StreamStats } from './stats.ts';
export { checkOffload } from './offload.ts';
export { relayPass } from './relay.ts';
export { overlapEfficiency } from './stats.ts';
