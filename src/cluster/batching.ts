/** Splits sequences into the batches of passes. */
import TinyQueue from 'tinyqueue';

/** Indices into the list of sequences. */
export type Batch = readonly number[];

/** Longest first. */
const byLength = (lengths: readonly number[]): number[] => lengths.map((_, index) => index).sort((a, b) => (lengths[b] as number) - (lengths[a] as number) || a - b);

/** The longest sequence that is left goes to the batch with the fewest tokens; a batch may stay empty. */
function deal(lengths: readonly number[], order: readonly number[], count: number): { tokens: number; members: number[] }[] {
  const batches = Array.from({ length: count }, (_, place) => ({ tokens: 0, members: [] as number[], place }));
  const lightest = new TinyQueue(batches, (a, b) => a.tokens - b.tokens || a.place - b.place);
  for (const index of order) {
    const batch = lightest.pop() as (typeof batches)[number];
    batch.members.push(index);
    batch.tokens += lengths[index] as number;
    lightest.push(batch);
  }
  return batches.sort((a, b) => b.tokens - a.tokens || a.place - b.place);
}

/**
 * Batches of at most `batchTokens` tokens (a longer sequence goes alone), as equal as can be, and as few as a multiple of `multiple` allows:
 * the ranks end at about the same time. The heaviest comes first. With fewer sequences than `multiple` there are fewer batches.
 */
export function splitIntoBatches(lengths: readonly number[], batchTokens: number, multiple = 1): Batch[] {
  const order = byLength(lengths);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  for (let count = Math.ceil(total / batchTokens / multiple) * multiple; ; count += multiple) {
    const batches = deal(lengths, order, count);
    if (batches.every(({ tokens, members }) => tokens <= batchTokens || members.length === 1)) return batches.filter(({ members }) => members.length > 0).map(({ members }) => members);
  }
}

/** A pass in which all ranks take part: the sequences of each rank, or one list of all where every rank sees all. */
export type JointPass = readonly Batch[];

/** How batches become passes, see {@link passShape}. */
export interface PassShape {
  /** Tokens of one batch at most. */
  readonly batchTokens: number;
  /** Batches of one pass: one for each rank, or one for all. */
  readonly parts: number;
  /** Passes under way at a time. */
  readonly inFlight: number;
}

/** Stages of a pipeline run dry at the ends of a run for a stage less than there are, so there should be many times as many batches. */
const BATCHES_PER_STAGE = 8;
/** Below this products are less efficient than bubbles are dear. */
const SMALLEST_STAGE_BATCH = 256;

/** What {@link passShape} needs to know. */
export interface PassShapeOptions {
  readonly ofAll: boolean;
  readonly ranks: number;
  readonly batchTokens: number;
  readonly totalTokens: number;
  /** Passes under way at a time instead of the usual number. */
  readonly inFlight?: number;
}

/**
 * What a pass of all ranks together looks like. Memory is what bounds `batchTokens`, so two passes under way, which overlap the transfers of
 * one with the computation of the other, have half of it each.
 * @param kind `own`: ranks have sequences of their own and nothing but weights travels; `split`: layers are split, `ofAll` says whether all ranks see
 *   all sequences; `stages`: a pipeline
 */
export function passShape(kind: 'own' | 'split' | 'stages', { ofAll, ranks, batchTokens, totalTokens, inFlight }: PassShapeOptions): PassShape {
  switch (kind) {
    case 'own': return { batchTokens, parts: ranks, inFlight: inFlight ?? 2 };
    case 'split': {
      const lanes = inFlight ?? 2;
      const share = Math.max(1, Math.ceil(batchTokens / lanes));
      return ofAll ? { batchTokens: ranks * share, parts: 1, inFlight: lanes } : { batchTokens: share, parts: ranks, inFlight: lanes };
    }
    case 'stages': {
      const small = Math.ceil(totalTokens / (BATCHES_PER_STAGE * ranks));
      return { batchTokens: Math.min(batchTokens, Math.max(SMALLEST_STAGE_BATCH, small)), parts: 1, inFlight: inFlight ?? ranks + 1 };
    }
    default: return kind satisfies never;
  }
}

/** Passes of all ranks together. Batches of about equal weight meet in a pass, because its ranks wait for each other. */
export function jointPasses(lengths: readonly number[], { batchTokens, parts }: Pick<PassShape, 'batchTokens' | 'parts'>): JointPass[] {
  const batches = splitIntoBatches(lengths, batchTokens, parts);
  return Array.from({ length: Math.ceil(batches.length / parts) }, (_, pass) => Array.from({ length: parts }, (__, part) => batches[pass * parts + part] ?? []));
}
