/**
 * Bytes per MoE layer and device in one forward pass, by the paper's table (section 4): P devices, B S tokens of the whole batch, H hidden size, k
 * experts a token, b bytes an element. The constants count what is sent and what is received; half of them is sent.
 *
 *     ep       2 AllToAll                    4 k (P-1)/P B S H b
 *     dp-tp    AllGather, ReduceScatter      4 (P-1)/P B S H b
 *     tp       2 AllReduce                   4 (P-1)/P B S H b
 *     tp-ep    AllReduce, 2 AllToAll         (2 + 4 k) (P-1)/P B S H b
 *     pp       2 Send/Recv                   2 B S H b                       between stages
 * The dispatch is counted for all tokens on every device; where each device sends its own tokens' rows it is 1/P of that, and less where a row
 * goes once to each rank: that is what the simulator counts, beside this.
 *
 *     resident nothing; asyncep and sync: the weights that a device lacks, (P-1)/P of a layer, received and, in a ring, sent
 */
import type { SimStrategy } from '../run-shape.ts';

export interface TrafficShape {
  readonly ranks: number;
  /** B S. */
  readonly tokens: number;
  readonly hiddenSize: number;
  readonly topK: number;
  /** Of an element of a row. */
  readonly rowElementBytes: number;
  /** All experts of a layer. */
  readonly layerBytes: number;
}

export interface Traffic {
  readonly collectives: string;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Whether compute waits for it. */
  readonly onPath: boolean;
}

const ROWS: Readonly<Record<Exclude<SimStrategy, 'asyncep' | 'sync' | 'resident'>, { readonly collectives: string; readonly constant: (topK: number) => number }>> = {
  ep: { collectives: '2 AllToAll', constant: (topK) => 4 * topK },
  'dp-tp': { collectives: 'AllGather, ReduceScatter', constant: () => 4 },
  'tp-ep': { collectives: 'AllReduce, 2 AllToAll', constant: (topK) => 2 + 4 * topK },
  tp: { collectives: '2 AllReduce', constant: () => 4 },
  pp: { collectives: '2 Send/Recv', constant: () => 2 },
};

export function layerTraffic(strategy: SimStrategy, { ranks, tokens, hiddenSize, topK, rowElementBytes, layerBytes }: TrafficShape): Traffic {
  const share = (ranks - 1) / ranks;
  if (strategy === 'resident') return { collectives: 'none', sentBytes: 0, receivedBytes: 0, onPath: false };
  if (strategy === 'asyncep' || strategy === 'sync') {
    return { collectives: 'AllGather of weights', sentBytes: share * layerBytes, receivedBytes: share * layerBytes, onPath: strategy === 'sync' && ranks > 1 };
  }
  const { collectives, constant } = ROWS[strategy];
  const bytes = constant(topK) * (strategy === 'pp' ? Math.sign(share) : share) * tokens * hiddenSize * rowElementBytes;
  return { collectives, sentBytes: bytes / 2, receivedBytes: bytes / 2, onPath: ranks > 1 };
}
