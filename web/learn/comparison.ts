/** The same batches under AsyncEP and under other strategies. Pure; it runs in a worker, because the simulator takes its time with exchanges of rows. */
import type { RunShape, SimStrategy } from '../../src/sim/run-shape.ts';
import { memoryOf, trafficOf } from './bytes.ts';
import { timelineOf } from './drawing/timeline.ts';
import { LAYERS, PASSES, shapeOf, simulateRun, type SimulatedRun } from './scenario.ts';
import type { Settings } from './settings.ts';

export const COMPARED = ['asyncep', 'sync', 'ep', 'tp', 'pp'] as const satisfies readonly SimStrategy[];
export type Compared = (typeof COMPARED)[number];

/** How the baselines are given their work. */
export interface Together {
  /** Parts of a batch that `ep` and `tp` have under way at a time: with two, one computes while the other's rows travel. */
  readonly inFlight: 1 | 2;
  /** Tokens that choose the busiest rank's experts, times the average; `ep` only. */
  readonly busiest: number;
}

/** One rank's row of the small drawing. */
export interface ComparedRank {
  readonly bars: readonly (readonly [fromMs: number, toMs: number, layer: number | null])[];
  readonly exposed: readonly (readonly [fromMs: number, toMs: number])[];
}

export interface Compare {
  readonly strategy: Compared;
  readonly wallMs: number;
  /** Waiting for bytes, mean over the ranks. */
  readonly exposedMs: number;
  /** Neither computing nor waiting for bytes. */
  readonly idleMs: number;
  /** Of a device and layer, for one batch of each rank: as simulated, and by the paper's table (section 4; what is sent is half of its constants). */
  readonly sentBytes: number;
  readonly paperSentBytes: number;
  /** Of the fullest device with the whole model. */
  readonly memoryBytes: number;
  readonly ranks: readonly ComparedRank[];
}

/** What the strategy is asked to do. Baselines have their experts on the device. */
export function comparedShape(settings: Settings, { inFlight, busiest }: Together, strategy: Compared): RunShape {
  if (strategy === 'asyncep' || strategy === 'sync') return shapeOf(settings, strategy);
  const { ranks } = settings;
  const shape = shapeOf({ ...settings, offload: 0 }, strategy);
  if (strategy === 'pp') return shape;
  const most = Math.min(1, busiest / ranks);
  const expertShares = Array.from({ length: ranks }, (_, rank) => (rank === 0 ? most : (1 - most) / Math.max(1, ranks - 1)));
  return { ...shape, inFlight, ...(strategy === 'ep' && busiest > 1 && { expertShares }) };
}

const ranksOf = ({ events, wallMs }: SimulatedRun): ComparedRank[] => timelineOf(events).ranks.map(({ rows, exposed }) => ({
  bars: (rows.find(({ track }) => track === 'compute')?.lanes.flat() ?? []).map(({ fromMs, toMs, layer }) => [fromMs, toMs, layer] as const),
  exposed: exposed.filter(([from]) => from < wallMs),
}));

function compare(settings: Settings, together: Together, strategy: Compared): Compare {
  const shape = comparedShape(settings, together, strategy);
  const run = simulateRun(shape);
  return {
    strategy, wallMs: run.wallMs, exposedMs: run.summary.mean.exposedMs, idleMs: run.idleMs, sentBytes: run.sentBytes / PASSES / LAYERS,
    paperSentBytes: trafficOf(settings, strategy).sentBytes, memoryBytes: memoryOf(settings, strategy).total, ranks: ranksOf(run),
  };
}

/** In the order of {@link COMPARED}. @throws InputError where the model cannot be split over so many ranks */
export const comparisonOf = (settings: Settings, together: Together): Compare[] => COMPARED.map((strategy) => compare(settings, together, strategy));
