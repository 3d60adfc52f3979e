/**
 * `sync`: AsyncEP without the A, the ablation. A layer's experts are gathered when it asks for them, after the device has
 * finished what came before (as a collective on the compute stream would be), into the one slot there is.
 */
import type { CountedStream, StreamContext } from './context.ts';
import { createStreamed } from './streamed.ts';

/** @throws SegmentError when a shard is damaged */
export const createSync = (context: StreamContext): Promise<CountedStream> =>
  createStreamed(context, { slots: 1, depth: 0, afterCompute: true });
