/** The ways in which ranks share one model's experts. */
import { createAsyncEP } from './asyncep.ts';
import type { CountedStream, StreamContext } from './context.ts';
import { createResident } from './resident.ts';
import { createSync } from './sync.ts';

export const STRATEGIES = ['asyncep', 'sync', 'resident'] as const;
export type Strategy = (typeof STRATEGIES)[number];

const creators: Record<Strategy, (context: StreamContext) => Promise<CountedStream>> = {
  asyncep: createAsyncEP,
  sync: createSync,
  resident: createResident,
};

/** Loads what the strategy keeps on the device and starts its stream. */
export const createStream = (strategy: Strategy, context: StreamContext): Promise<CountedStream> => creators[strategy](context);

export type { CountedStream, StreamContext, StreamSettings } from './context.ts';
export type { StreamEvent, StreamStats } from './stats.ts';
export { overlapEfficiency } from './stats.ts';
