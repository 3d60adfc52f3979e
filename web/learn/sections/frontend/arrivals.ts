/** The requests that come: when, with which prefix, how long. Seeded, so that every scheduler is given the same ones. */
import { BLOCK_TOKENS } from '../../../../src/runtime/kernels/attention.ts';
import { hashWords } from '../../../../src/sim/random.ts';
import type { Prompt } from '../../../../src/sim/serving/prompts.ts';
import { PREFIX_BLOCKS, PREFIX_TOKENS, REQUESTS, sceneOf, SUFFIX_TOKENS, type FrontendSettings } from './scene.ts';

/** Most different prefixes: there are as many colours. */
export const MOST_PREFIXES = 8;

export interface Arrival extends Prompt {
  /** From 0, the hot one. */
  readonly prefix: number;
}

/** What a random number is for. */
const [GAP, HOT, PREFIX, SUFFIX] = [1, 2, 3, 4];
const SEED = 7;
/** From 0 to below 1. */
const uniform = (what: number, request: number): number => hashWords(SEED, what, request) / 2 ** 32;

/** A block's name: (who has it, its place). Owners below {@link MOST_PREFIXES} are prefixes, the others requests. */
const PLACES = 64;
const nameOf = (owner: number, block: number): number => owner * PLACES + block;

/** The prefix that a block is of; null for a block of one request's own. */
export function prefixOfBlock(hash: number): number | null {
  const owner = Math.floor(hash / PLACES);
  return owner < MOST_PREFIXES ? owner : null;
}

/** The hot prefix as often as its share says, or one of the others, each as often as another. */
function prefixOf(request: number, { prefixes, hotShare }: FrontendSettings): number {
  if (prefixes === 1 || uniform(HOT, request) < Math.max(hotShare, 1 / prefixes)) return 0;
  return 1 + (hashWords(SEED, PREFIX, request) % (prefixes - 1));
}

/** By arrival. Gaps are exponential: requests come independently of each other. */
export function arrivalsOf(settings: FrontendSettings): Arrival[] {
  const { gapMs } = sceneOf(settings);
  let arrivalMs = 0;
  return Array.from({ length: REQUESTS }, (_, request) => {
    arrivalMs += -Math.log(1 - uniform(GAP, request)) * gapMs;
    const prefix = prefixOf(request, settings);
    const tokens = PREFIX_TOKENS + SUFFIX_TOKENS.least + (hashWords(SEED, SUFFIX, request) % (SUFFIX_TOKENS.most - SUFFIX_TOKENS.least + 1));
    const hashes = Float64Array.from({ length: Math.floor(tokens / BLOCK_TOKENS) }, (_, block) =>
      nameOf(block < PREFIX_BLOCKS ? prefix : MOST_PREFIXES + request, block));
    return { source: 'frontend', tokens, hashes, arrivalMs, prefix };
  });
}
