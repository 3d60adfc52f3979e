/** Work of a pool as messages to ranks, and their replies as answers. */
import { checkBatch } from '../engine/index.ts';
import { InputError } from '../errors.ts';
import { BLOCK_TOKENS } from '../runtime/kernels/attention.ts';
import type { PassAnswer, PassSequence, PassWork } from './engine-pool.ts';
import type { PassStats, ToRank } from './messages.ts';
import type { Reply } from './rank-process.ts';

type PassMessage = Extract<ToRank, { type: 'pass' }>;

/** What work is checked against before it is given to ranks. */
export interface WorkLimits {
  readonly limits: Reply<'hello'>['limits'];
  /** Ranks compute batches together: one that refused its part would leave the others waiting. */
  readonly joint: boolean;
  readonly maxBatchBlocks: number;
}

/** @throws InputError for what no engine can run */
export function checkWork(work: PassWork, { limits, joint, maxBatchBlocks }: WorkLimits): void {
  const { sequences } = work;
  if (sequences.length === 0) throw new InputError('batch', 'sequences', 'are none; expected at least one');
  checkBatch(work, limits);
  if (!joint) return;
  if (sequences.some(({ scored = 0 }) => scored > 0)) throw new InputError('batch', 'scored', 'ranks that split layers score no positions; expected asyncep, sync or resident');
  const blocks = sequences.reduce((sum, { tokens }) => sum + Math.ceil(tokens.length / BLOCK_TOKENS), 0);
  if (blocks > maxBatchBlocks) throw new InputError('batch', 'tokens', `in ${blocks} blocks of ${BLOCK_TOKENS}; the engine holds keys and values of at most ${maxBatchBlocks}`);
}

/**
 * @param work none: the rank takes part in the pass of others only
 * @param lengths see the message; null where each rank runs passes of its own
 */
export function passMessage(pass: number, work: PassWork | undefined, lengths: number[][] | null): PassMessage {
  const sequences: readonly PassSequence[] = work?.sequences ?? [];
  const scored = sequences.map(({ scored = 0 }) => scored);
  return {
    type: 'pass', pass, lengths, sequences: sequences.map(({ tokens }) => tokens), candidates: work?.candidates ?? new Uint32Array(0),
    scored: scored.some((count) => count > 0) ? scored : null, top: work?.top ?? 0,
  };
}

/** Of a rank that ran the whole batch. */
export function answerOf({ logits, scores, cachedTokens, cache, stats }: Reply<'result'>): PassAnswer {
  return { logits, scores, cache, stats, cachedTokens: cachedTokens ?? Array.from({ length: stats.sequences }, () => 0) };
}

/** Of ranks that ran a batch together, each of which answers some of its sequences; or of one of them that answers all. */
export function joinAnswers(replies: readonly Reply<'result'>[]): PassAnswer {
  const [first] = replies as [Reply<'result'>];
  const { width, stats: { sequences } } = first;
  const logits = new Float32Array(sequences * width);
  for (const reply of replies) {
    const members = reply.rows ?? Array.from({ length: sequences }, (_, i) => i);
    for (const [row, member] of members.entries()) logits.set(reply.logits.subarray(row * width, (row + 1) * width), member * width);
  }
  return { ...answerOf(first), logits, stats: joinStats(replies.map(({ stats }) => stats)) };
}

/** Work and bytes are summed; times are those of the slowest rank. */
function joinStats(parts: readonly PassStats[]): PassStats {
  const sum = (key: 'flops' | 'hostBytes' | 'sentBytes' | 'receivedBytes' | 'expertRows'): number => parts.reduce((total, part) => total + part[key], 0);
  const longest = (key: 'gatherMs' | 'copyMs' | 'waitedMs' | 'exposedMs' | 'transferMs'): number => Math.max(...parts.map((part) => part[key]));
  const startEpochMs = Math.min(...parts.map((part) => part.startEpochMs));
  const endEpochMs = Math.max(...parts.map((part) => part.startEpochMs + part.wallMs));
  return {
    ...(parts[0] as PassStats), startEpochMs, wallMs: endEpochMs - startEpochMs,
    flops: sum('flops'), hostBytes: sum('hostBytes'), sentBytes: sum('sentBytes'), receivedBytes: sum('receivedBytes'), expertRows: sum('expertRows'),
    gatherMs: longest('gatherMs'), copyMs: longest('copyMs'), waitedMs: longest('waitedMs'), exposedMs: longest('exposedMs'), transferMs: longest('transferMs'),
  };
}
