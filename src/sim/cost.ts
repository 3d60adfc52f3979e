/**
 * The predicted time of a run under every strategy: compute (true FLOPs over the measured rate of the kernels), transfers (bytes over the
 * link, plus latency), and what neither hides of the other.
 *
 * Each strategy is a set of steps on the ranks' devices and links (streaming.ts, exchanging.ts, pipeline.ts), which schedule.ts plays through.
 * Not in the model: what a transfer costs the device or the host (copies, waiting for a readback), and kernels whose rate changes with the
 * size of their operands.
 */
import { layerExpertBytes } from '../model/flops.ts';
import { addExchanging } from './exchanging.ts';
import { addPipeline } from './pipeline.ts';
import { STRATEGY_KINDS, type RunShape, type SimStrategy } from './run-shape.ts';
import { simulate, Steps, type Rates, type Schedule } from './schedule.ts';
import { addStreaming } from './streaming.ts';
import { summarize, type RankSummary } from './summary.ts';

export interface Prediction {
  /** Until the last logits. */
  readonly wallMs: number;
  readonly ranks: readonly RankSummary[];
  readonly schedule: Schedule;
}

const ADD: Readonly<Record<'streaming' | 'exchanging' | 'pipeline', (steps: Steps, shape: RunShape) => void>> = {
  streaming: addStreaming, exchanging: addExchanging, pipeline: addPipeline,
};

function ratesOf({ flopsPerSecond, ranks, link, processors = ranks }: RunShape): Rates {
  const rates = typeof flopsPerSecond === 'number' ? Array.from({ length: ranks }, () => flopsPerSecond) : flopsPerSecond;
  const alone = ranks / Math.min(ranks, processors);
  return {
    flopsPerSecond: rates.map((rate) => rate * alone),
    bytesPerSecond: link?.bytesPerSecond ?? Infinity,
    latencyMs: link?.latencyMs ?? 0,
  };
}

/** When the last compute was over; reads for a later run may still be under way then. */
const lastCompute = ({ steps, endMs }: Schedule): number =>
  steps.reduce((latest, { kind }, index) => (kind === 'compute' ? Math.max(latest, endMs[index] as number) : latest), 0);

/**
 * Plays a run through.
 * @throws InputError when the model cannot be split over so many ranks
 */
export function predictRun(shape: RunShape): Prediction {
  const steps = new Steps(ratesOf(shape));
  ADD[STRATEGY_KINDS[shape.strategy]](steps, shape);
  const schedule = simulate(steps.list, shape.processors);
  const wallMs = lastCompute(schedule);
  return { wallMs, ranks: summarize({ ...schedule, wallMs }, shape.ranks), schedule };
}

/** Saturation threshold (paper section 6.2, per batch): FLOPs of a batch whose compute hides the gathers of all its layers. */
export const saturationThreshold = (moeLayers: number, gatherMs: number, flopsPerSecond: number, gamma = 1.2): number =>
  moeLayers * (gatherMs / 1000) * flopsPerSecond * gamma;

/** Milliseconds in which a rank receives what it lacks of one layer: t_EP over an idle link. */
export function gatherMs({ config, ranks, weightBytes, link }: Pick<RunShape, 'config' | 'ranks' | 'weightBytes' | 'link'>): number {
  if (link === null || ranks === 1) return 0;
  const bytes = (layerExpertBytes(config, weightBytes) * (ranks - 1)) / ranks;
  return (bytes / link.bytesPerSecond) * 1000 + link.latencyMs;
}

/** Passes of each rank in the steady state that a cross-over is looked for in; all strategies are given the same work. */
const STEADY_PASSES = 4;
const FEWEST_TOKENS = 16;
const MOST_TOKENS = 1 << 17;
/** More sequences a batch than these change no time that matters, but take long to count. */
const MOST_SEQUENCES = 64;

/** Tokens per millisecond when batches have `tokens` tokens in sequences of `length` (longer ones where these would be very many). */
function steadyRate(shape: RunShape, tokens: number, length: number): number {
  const sequences = Math.min(MOST_SEQUENCES, Math.max(1, Math.round(tokens / length)));
  const each = Math.max(1, Math.round(tokens / sequences));
  const lengths = Array.from({ length: sequences * shape.ranks * STEADY_PASSES }, () => each);
  return (each * lengths.length) / predictRun({ ...shape, lengths, batchTokens: each * sequences }).wallMs;
}

/**
 * The fewest tokens of a batch (`batchTokens`, to about 5 %) from which `asyncep` is predicted to be at least as fast as each of `others`; null where it
 * is not up to 128K tokens, 16 where it always is.
 * @param length of the sequences
 */
export function crossOvers(shape: RunShape, others: readonly SimStrategy[], length: number): Partial<Record<SimStrategy, number | null>> {
  const rates = new Map<string, number>();
  const rate = (strategy: SimStrategy, tokens: number): number => {
    const key = `${strategy} ${tokens}`;
    if (!rates.has(key)) rates.set(key, steadyRate({ ...shape, strategy }, tokens, length));
    return rates.get(key) as number;
  };
  return Object.fromEntries(others.map((other) => [other, fewestTokens((tokens) => rate('asyncep', tokens) >= rate(other, tokens))]));
}

/** By doubling, then bisection. */
function fewestTokens(isFaster: (tokens: number) => boolean): number | null {
  let [low, high] = [0, FEWEST_TOKENS];
  while (!isFaster(high)) {
    [low, high] = [high, 2 * high];
    if (high > MOST_TOKENS) return null;
  }
  while (low > 0 && high - low > high / 20) {
    const middle = Math.floor((low + high) / 2);
    if (isFaster(middle)) high = middle;
    else low = middle;
  }
  return high;
}
