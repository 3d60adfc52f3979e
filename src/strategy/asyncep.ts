/**
 * `asyncep` (paper section 2): two slots; while layer i computes, layer i+1 is copied into the other slot and layer i+2 is
 * read into staging memory. There is one wait, at the entry of a layer. After the last layer comes the first streamed one of
 * the next pass; should no pass come, its bytes simply wait. With offload there are more slots, see offload.ts.
 */
import { planExperts, type CountedStream, type StreamContext } from './context.ts';
import { aheadShape } from './offload.ts';
import { createStreamed } from './streamed.ts';

/** @throws SegmentError when a shard is damaged */
export const createAsyncEP = (context: StreamContext): Promise<CountedStream> =>
  createStreamed(context, { ...aheadShape(context, planExperts(context)), afterCompute: false });
