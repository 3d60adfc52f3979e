/**
 * The paper's workloads with the prefixes that requests share (paper section 5), as block hashes.
 *
 * Lengths, numbers of requests and shares are those of sim/workload.ts: of a request's tokens HIGH (0.8), MEDIUM (0.4) or LOW (0.1) are a prefix that it
 * has in common with its siblings (2 actions of a moral story, 20 questions on an article, 4 requests on a head of ArXiv's; 420 of one MMLU subject, and
 * all of BoolQ and of IMDB). Beside these every source has a template, the task's instruction, at the start of all of its requests.
 */
import { BLOCK_TOKENS } from '../../runtime/kernels/attention.ts';
import { namedWorkload, WORKLOADS, type Request, type Workload } from '../workload.ts';
import type { Prompt, ServingWorkload } from './prompts.ts';

/**
 * The template's share of a source's shortest request: the paper's "low" is the sharing of sources that have nothing else in common than their
 * template, and 0.1 is what sim/workload.ts takes for it. It is a part of the prefix, not added to it.
 */
const TEMPLATE_SHARE = 0.1;

/** The paper's longest context: nothing is scaled down but the number of requests. */
const FULL_CONTEXT = 128 * 1024;

/** A group with more members has only a template in common, and is no document. */
const MOST_SIBLINGS = 64;

/**
 * `shuffled`: requests come in any order. `together`: siblings (questions on one document) come one after the other, as a client sends them that works
 * through documents; documents come in any order.
 */
export const ORDERS = ['shuffled', 'together'] as const;
export type Order = (typeof ORDERS)[number];

export interface SyntheticOptions {
  /** About so many, each source keeps one at least; as many as the paper's by default. */
  readonly requests?: number;
  readonly order: Order;
  readonly seed: number;
}

/** Tokens that all requests of a source begin with, by source. */
export function templateTokens({ requests }: Pick<Workload, 'requests'>): Map<string, number> {
  const shortest = new Map<string, number>();
  for (const { source, tokens, prefix } of requests) {
    if (prefix > 0) shortest.set(source, Math.min(tokens, shortest.get(source) ?? Infinity));
  }
  return new Map([...shortest].map(([source, tokens]) => [source, Math.round(TEMPLATE_SHARE * tokens)]));
}

/** A level of sharing: the tokens up to `end` are those of `owner`. */
export interface Level {
  readonly end: number;
  /** Numbers who has these tokens: a template, a group or a request; no two have the same. */
  readonly owner: number;
}

/** Who has the tokens of a request, from its start: the source's template, the group's prefix, its own. @returns what tells it of each request, by index */
export function levelsOf(workload: Pick<Workload, 'requests'>): (index: number) => readonly [Level, Level, Level] {
  const templates = templateTokens(workload);
  const owners = new Map([...templates.keys()].map((source, owner) => [source, owner]));
  const groups = workload.requests.reduce((most, { group }) => Math.max(most, group), -1) + 1;
  return (index) => {
    const { source, tokens, prefix, group } = workload.requests[index] as Request;
    return [
      { end: Math.min(templates.get(source) ?? 0, prefix), owner: owners.get(source) ?? -1 },
      { end: prefix, owner: owners.size + group },
      { end: tokens, owner: owners.size + groups + index },
    ];
  };
}

/** A block's name: (who has its last token, its place); a block that a boundary cuts belongs to the later owner. */
const PLACES = FULL_CONTEXT / BLOCK_TOKENS;

/** Names that are made into one array, of which prompts are given parts: many small arrays cost more than what is in them. */
const NAMES = 2 ** 15;

/** Makes the hashes of prompts when they are asked for, and remembers those it made last: a request is looked at several times in a row. */
class HashMaker {
  readonly #levels: ReturnType<typeof levelsOf>;
  #names = new Float64Array(NAMES);
  #used = 0;
  #last = -1;
  #hashes: Float64Array = new Float64Array();

  constructor(workload: Workload) {
    this.#levels = levelsOf(workload);
  }

  hashesOf(index: number): Float64Array {
    if (index !== this.#last) this.#hashes = this.#make(this.#levels(index));
    this.#last = index;
    return this.#hashes;
  }

  /** Whole blocks of what is not a request's own. */
  sharedBlocks(index: number): number {
    return Math.floor(this.#levels(index)[1].end / BLOCK_TOKENS);
  }

  #make(levels: readonly [Level, Level, Level]): Float64Array {
    const hashes = this.#room(Math.floor(levels[2].end / BLOCK_TOKENS));
    let block = 0;
    for (const { end, owner } of levels) {
      const [first, last] = [owner * PLACES, Math.floor(end / BLOCK_TOKENS)];
      for (; block < last; block++) hashes[block] = first + block;
    }
    return hashes;
  }

  #room(names: number): Float64Array {
    if (names > this.#names.length - this.#used) [this.#names, this.#used] = [new Float64Array(Math.max(NAMES, names)), 0];
    this.#used += names;
    return this.#names.subarray(this.#used - names, this.#used);
  }
}

/** A prompt of a few words, whose hashes are made when they are asked for. */
class SyntheticPrompt implements Prompt {
  readonly arrivalMs = 0;

  constructor(readonly source: string, readonly tokens: number, private readonly index: number, private readonly maker: HashMaker) {}

  get hashes(): Float64Array {
    return this.maker.hashesOf(this.index);
  }

  get sharedBlocks(): number {
    return this.maker.sharedBlocks(this.index);
  }
}

/** Requests of one document stand where the first of them stood. */
export function siblingsTogether(requests: readonly Request[]): Request[] {
  const members = new Map<number, Request[]>();
  for (const request of requests) {
    const known = members.get(request.group);
    if (known === undefined) members.set(request.group, [request]);
    else known.push(request);
  }
  return requests.flatMap((request) => {
    const siblings = members.get(request.group) as Request[];
    if (siblings.length > MOST_SIBLINGS) return [request];
    return request === siblings[0] ? siblings : [];
  });
}

/**
 * The workload as requests, before hashes are made of it.
 * @throws InputError for an unknown name
 */
export function orderedWorkload(name: string, options: SyntheticOptions, longestContext = FULL_CONTEXT): Workload {
  const sources = Object.hasOwn(WORKLOADS, name) ? (WORKLOADS[name] ?? []) : [];
  const all = sources.reduce((sum, source) => ({ requests: sum.requests + source.requests, tokens: sum.tokens + source.tokens }), { requests: 0, tokens: 0 });
  const { requests = all.requests, order, seed } = options;
  const workload = namedWorkload(name, { longestContext, tokens: (all.tokens * longestContext * requests) / (FULL_CONTEXT * all.requests), seed });
  return order === 'shuffled' ? workload : { ...workload, requests: siblingsTogether(workload.requests) };
}

const ORDER_TEXT: Readonly<Record<Order, string>> = {
  shuffled: 'requests in random order: siblings come far apart', together: 'siblings come one after the other, documents in random order',
};

/**
 * A workload of the paper at full context lengths, all requests there at once.
 * @throws InputError for an unknown name
 */
export function syntheticWorkload(name: string, options: SyntheticOptions): ServingWorkload {
  const workload = orderedWorkload(name, options);
  const maker = new HashMaker(workload);
  const prompts = workload.requests.map(({ source, tokens }, index) => new SyntheticPrompt(source, tokens, index, maker));
  const shares = workload.requests.some(({ prefix }) => prefix > 0);
  return {
    name, prompts, tokens: workload.tokens, timed: false,
    assumptions: shares
      ? ['shared prefix: high 0.8, medium 0.4, low 0.1 of a request; siblings: 2 of a story, 20 of an article, 4 of an ArXiv head, 420 of an MMLU subject, all of BoolQ and IMDB', ORDER_TEXT[options.order]]
      : ['no shared prefix'],
  };
}
