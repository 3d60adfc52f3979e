/**
 * The predicted time of a run under every strategy: compute (true FLOPs over the measured rate of the kernels), transfers (bytes over the
 * link, plus latency), and what neither hides of the other.
 *
 * Each strategy is a set of steps on the ranks' devices and links (streaming.ts, exchanging.ts, pipeline.ts), which schedule.ts plays through.
 * What a layer and a transfer cost the device and the host beside that is a setting (overheads.ts). Not in the model: kernels whose rate changes with
 * the size of their operands.
 */
import { layerExpertBytes } from '../model/flops.ts';
import { addExchanging } from './exchanging.ts';
import { addPipeline } from './pipeline.ts';
import { STRATEGY_KINDS, type RunShape, type SimStrategy, type WorldShape } from './run-shape.ts';
import { simulate, Steps, type Rates, type Schedule } from './schedule.ts';
import { checkShape, offloadLayers } from './slot-feed.ts';
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

/** What steps cost on such ranks. */
export function ratesOf({ flopsPerSecond, ranks, link, processors = ranks, hostBytesPerSecond = Infinity, gatherMs, overheads }: WorldShape): Rates {
  const rates = typeof flopsPerSecond === 'number' ? Array.from({ length: ranks }, () => flopsPerSecond) : flopsPerSecond;
  const alone = ranks / Math.min(ranks, processors);
  return {
    flopsPerSecond: rates.map((rate) => rate * alone),
    bytesPerSecond: link?.bytesPerSecond ?? Infinity,
    latencyMs: link?.latencyMs ?? 0,
    hostBytesPerSecond,
    ...(gatherMs !== undefined && { gatherMs }),
    ...(overheads !== undefined && { overheads }),
  };
}

/** When the last compute was over; reads for a later run may still be under way then. */
const lastCompute = ({ steps, endMs }: Schedule): number =>
  steps.reduce((latest, { kind }, index) => (kind === 'compute' ? Math.max(latest, endMs[index] as number) : latest), 0);

/**
 * Plays a run through.
 * @throws InputError when the model cannot be split over so many ranks, or the strategy cannot offload
 */
export function predictRun(shape: RunShape): Prediction {
  checkShape(shape);
  const steps = new Steps(ratesOf(shape));
  ADD[STRATEGY_KINDS[shape.strategy]](steps, shape);
  const schedule = simulate(steps.list, shape.processors);
  const wallMs = lastCompute(schedule);
  return { wallMs, ranks: summarize({ ...schedule, wallMs }, shape.ranks), schedule };
}

/** FLOP/s beyond any device: what is left is overheads. Not Infinity, or no batch would be heavier than another. */
const NO_COMPUTE = 1e18;
/** Time of `resident` is linear in the inverse of the rate, so the second guess is right, but for what ranks that share processors make of it. */
const MOST_GUESSES = 20;

/**
 * FLOP/s of one rank at which `shape` takes `wallMs` under `resident`; the shape's own rate and strategy are not used.
 * @throws RangeError when overheads alone take longer
 */
export function residentRate(shape: RunShape, wallMs: number): number {
  const at = (flopsPerSecond: number): number => predictRun({ ...shape, strategy: 'resident', flopsPerSecond }).wallMs;
  const fixedMs = at(NO_COMPUTE);
  if (fixedMs >= wallMs) throw new RangeError(`no rate makes it ${wallMs.toFixed(1)} ms: overheads alone take ${fixedMs.toFixed(1)} ms`);
  let rate = 1e9;
  for (let guess = 0; guess < MOST_GUESSES; guess++) {
    const predictedMs = at(rate);
    if (Math.abs(predictedMs - wallMs) < 1e-10 * wallMs) break;
    rate *= (predictedMs - fixedMs) / (wallMs - fixedMs);
  }
  return rate;
}

/** Saturation threshold (paper section 6.2, per batch): FLOPs of a batch whose compute hides the gathers of all its layers. */
export const saturationThreshold = (moeLayers: number, gatherMs: number, flopsPerSecond: number, gamma = 1.2): number =>
  moeLayers * (gatherMs / 1000) * flopsPerSecond * gamma;

/**
 * Milliseconds in which a rank gets what its device lacks of one layer, over idle channels: t_EP. With offload that is the slower of two transfers that
 * run at once: the peers' parts over the link, and its own from host memory (paper section 2).
 */
export function gatherMs(shape: Pick<RunShape, 'config' | 'ranks' | 'weightBytes' | 'link' | 'offload' | 'hostBytesPerSecond'>): number {
  const { config, ranks, weightBytes, link, hostBytesPerSecond = Infinity } = shape;
  const layer = layerExpertBytes(config, weightBytes);
  const hostMs = offloadLayers(shape) === 0 ? 0 : (layer / ranks / hostBytesPerSecond) * 1000;
  const linkMs = link === null || ranks === 1 ? 0 : ((layer * (ranks - 1)) / ranks / link.bytesPerSecond) * 1000 + link.latencyMs;
  return Math.max(hostMs, linkMs);
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

/** By doubling, then bisection to a twentieth, or to the token. */
export function fewestTokens(isFaster: (tokens: number) => boolean): number | null {
  let [low, high] = [0, FEWEST_TOKENS];
  while (!isFaster(high)) {
    [low, high] = [high, 2 * high];
    if (high > MOST_TOKENS) return null;
  }
  while (low > 0 && high - low > Math.max(1, high / 20)) {
    const middle = Math.floor((low + high) / 2);
    if (isFaster(middle)) high = middle;
    else low = middle;
  }
  return high;
}
