/** What is predicted: a model, a way of sharing it, the work, and the machine. */
import type { Link } from '../collective/link.ts';
import type { ModelConfig } from '../model/types.ts';
import type { Dispatch, Wire } from './collectives.ts';
import type { Overheads } from './overheads.ts';

/** Ways in which ranks share a model; see {@link STRATEGY_KINDS} for what moves. */
export const SIM_STRATEGIES = ['asyncep', 'sync', 'resident', 'ep', 'dp-tp', 'tp-ep', 'tp', 'pp'] as const;
export type SimStrategy = (typeof SIM_STRATEGIES)[number];

/** What moves between ranks: weights (or nothing), rows in every layer, or rows between stages. */
export const STRATEGY_KINDS: Readonly<Record<SimStrategy, 'streaming' | 'exchanging' | 'pipeline'>> = {
  asyncep: 'streaming', sync: 'streaming', resident: 'streaming',
  ep: 'exchanging', 'dp-tp': 'exchanging', 'tp-ep': 'exchanging', tp: 'exchanging',
  pp: 'pipeline',
};

/** The strategies that AsyncEP is measured against (paper section 4). */
export const BASELINES: readonly SimStrategy[] = ['ep', 'dp-tp', 'tp-ep', 'tp', 'pp'];

/** The strategies in which every pass has sequences of each rank; in the others all ranks share one batch. */
export const hasOwnSequences = (strategy: SimStrategy): boolean => !['tp-ep', 'tp', 'pp'].includes(strategy);

/** Ranks that share a model, whatever they compute. */
export interface WorldShape {
  readonly config: ModelConfig;
  readonly strategy: SimStrategy;
  readonly ranks: number;
  /** Candidates whose logits are asked for. */
  readonly candidates: number;
  /** Rate of a rank's kernels when all ranks compute, measured; one for all or one for each. FLOP/s. */
  readonly flopsPerSecond: number | readonly number[];
  /**
   * How many ranks compute at the same time without slowing each other, where they share devices or cores: with fewer at work, each is
   * faster, so that one rank's pause is another's gain. As many as there are by default.
   */
  readonly processors?: number;
  /** null: transfers take no time. */
  readonly link: Link | null;
  /** `asyncep`, `sync`: milliseconds of the gather of a layer, where they do not follow from the link: of a topology, or measured. */
  readonly gatherMs?: number;
  /** Element type of rows on the wire. */
  readonly wire: Wire;
  /** Bytes of a weight as it travels. */
  readonly weightBytes: number;
  readonly dispatch: Dispatch;
  /** `asyncep`: layers that a gather may run ahead of compute (2, as in the stream of slots; 1 is the paper's double buffer). */
  readonly depth?: number;
  /**
   * Own experts stay in host memory, and a rank's device holds the first MoE layer and so many layers ahead of the one that computes; 0, as
   * by default: they are on the device.
   */
  readonly offload?: { readonly layers: number };
  /** From a rank's host memory to its device, each rank by itself; no limit by default. */
  readonly hostBytesPerSecond?: number;
  /** Share of all (token, expert) pairs that each rank's experts get; by the number of experts otherwise. */
  readonly expertShares?: readonly number[];
  /** Beside FLOPs and bytes on the link; nothing by default. */
  readonly overheads?: Overheads;
}

/** Everything that a prediction of a run depends on. */
export interface RunShape extends WorldShape {
  /** Tokens of each sequence. */
  readonly lengths: readonly number[];
  /** As in the cluster: tokens of a batch at most, unless one sequence is longer. */
  readonly batchTokens: number;
  /** Passes under way at the same time, where all ranks take part in them; as the cluster has it by default. */
  readonly inFlight?: number;
}
