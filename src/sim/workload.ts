/**
 * Requests to measure with: the paper's real mix of six sources and its four synthetic regimes (section 5), scaled to the machine.
 *
 * Proportions are kept: every context length is divided by one factor (the same for all workloads, so that `short` stays 1/512 of
 * `ultra`), every number of requests by another. A request is a length and a group; its tokens are computed when they are asked for, so
 * that a workload of any size costs a few words a request.
 */
import { InputError } from '../errors.ts';
import { hashWords, shuffled } from './random.ts';

/** One kind of request of the paper, unscaled. */
export interface Source {
  readonly name: string;
  /** Context lengths, tokens. */
  readonly shortest: number;
  readonly longest: number;
  readonly requests: number;
  /** Of all requests together. */
  readonly tokens: number;
  /** Share of a request's tokens that it has in common with its siblings; 0: no shared prefix. */
  readonly prefixShare: number;
  /** Requests that share one prefix; Infinity: all of the source. */
  readonly siblings: number;
}

const K = 1024;

/**
 * Table 2 of the paper says "high", "medium" and "low" of the prefix share; the numbers are ours, by what the data sets are:
 *   high    0.8: what is asked about is the prefix, the question the rest. MoralStories: 12K stories, each with a moral and an immoral
 *           action (24K requests). QuALITY: an article has about 20 questions.
 *   medium  0.4: ArXiv: documents differ, but the instruction with all classes and the head of a document are repeated; a few requests each.
 *   low     0.1: the task's template alone is shared. MMLU: one for each of 57 subjects (24K / 57 = 420); BoolQ and IMDB: one for all.
 */
const [HIGH, MEDIUM, LOW] = [0.8, 0.4, 0.1];

/** The real mix: 73.8K requests, 37.9M tokens. */
export const REAL_MIX: readonly Source[] = [
  { name: 'MoralStories', shortest: 100, longest: 200, requests: 24_000, tokens: 3.3e6, prefixShare: HIGH, siblings: 2 },
  { name: 'MMLU', shortest: 50, longest: 500, requests: 24_000, tokens: 5.8e6, prefixShare: LOW, siblings: 420 },
  { name: 'BoolQ', shortest: 200, longest: 600, requests: 12_000, tokens: 2.7e6, prefixShare: LOW, siblings: Infinity },
  { name: 'IMDB', shortest: 300, longest: 2 * K, requests: 12_000, tokens: 5.5e6, prefixShare: LOW, siblings: Infinity },
  { name: 'QuALITY', shortest: 4 * K, longest: 12 * K, requests: 1200, tokens: 10.5e6, prefixShare: HIGH, siblings: 20 },
  { name: 'ArXiv', shortest: 6 * K, longest: 128 * K, requests: 600, tokens: 10.1e6, prefixShare: MEDIUM, siblings: 4 },
];

const regime = (name: string, length: number, requests: number): Source[] =>
  [{ name, shortest: length, longest: length, requests, tokens: length * requests, prefixShare: 0, siblings: 1 }];

/** The workloads that have a name, unscaled. */
export const WORKLOADS: Readonly<Record<string, readonly Source[]>> = {
  mixed: REAL_MIX,
  short: regime('short', 256, 40_960),
  medium: regime('medium', 4 * K, 2560),
  long: regime('long', 32 * K, 320),
  ultra: regime('ultra', 128 * K, 80),
};
export const workloadNames: readonly string[] = Object.keys(WORKLOADS);

/** The longest context of the paper's workloads, tokens. */
const LONGEST = 128 * K;

/** One request. */
export interface Request {
  /** Name of its source. */
  readonly source: string;
  readonly tokens: number;
  /** Leading tokens that all requests of `group` have in common. */
  readonly prefix: number;
  /** Numbers the group within the workload. */
  readonly group: number;
  /** The prompt itself, where it was given. */
  readonly given?: Uint32Array;
}

export interface Workload {
  readonly name: string;
  /** In the order in which they arrive. */
  readonly requests: readonly Request[];
  readonly tokens: number;
  /** What the paper's context lengths were divided by; 1 for a workload of one's own. */
  readonly contextFactor: number;
  /** What its numbers of requests were divided by. */
  readonly requestFactor: number;
}

export interface WorkloadScale {
  /** What the paper's longest context (128K tokens) becomes. */
  readonly longestContext: number;
  /** About so many tokens in all; the smallest sources keep one request. */
  readonly tokens: number;
  readonly seed: number;
}

/**
 * Lengths of `count` requests of `source`, unscaled, longest last. The distribution is min + (max - min) u^a, u uniform, which has the
 * source's range and, with a = (max - min) / (mean - min) - 1, its mean. Request i stands for the i-th of `count` equal parts of u and has
 * the mean of that part, so that the sum is right for any `count`:
 *
 *     E[u^a | i/n < u < (i+1)/n] = n ((i+1)^(a+1) - i^(a+1)) / (n^(a+1) (a+1))
 */
function lengthsOf({ shortest, longest, requests, tokens }: Source, count: number): number[] {
  const range = longest - shortest;
  const mean = tokens / requests;
  if (range === 0) return Array.from({ length: count }, () => shortest);
  const power = range / (mean - shortest);
  const upTo = (i: number): number => (i / count) ** power;
  return Array.from({ length: count }, (_, i) => shortest + (range * count * (upTo(i + 1) - upTo(i))) / power);
}

/** Rounds so that the sum stays within half a token of the true one. */
function roundedSum(values: readonly number[]): number[] {
  let carry = 0;
  return values.map((value) => {
    const whole = Math.max(1, Math.round(value + carry));
    carry += value - whole;
    return whole;
  });
}

/** Requests of one source; neighbours in length are siblings. Groups are numbered from `firstGroup`. */
function requestsOf(source: Source, contextFactor: number, requestFactor: number, firstGroup: number): Request[] {
  const count = Math.max(1, Math.round(source.requests / requestFactor));
  const lengths = roundedSum(lengthsOf(source, count).map((length) => length / contextFactor));
  const siblings = Math.min(source.siblings, count);
  return lengths.map((tokens, i) => {
    const group = Math.floor(i / siblings);
    const shortest = lengths[group * siblings] as number;
    const prefix = Math.min(Math.round(source.prefixShare * shortest), tokens - 1);
    return { source: source.name, tokens, prefix, group: firstGroup + group };
  });
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/**
 * A workload of the paper at the size of this machine; equal scales give equal workloads.
 * @throws InputError for an unknown name
 */
export function namedWorkload(name: string, { longestContext, tokens, seed }: WorkloadScale): Workload {
  const sources = Object.hasOwn(WORKLOADS, name) ? (WORKLOADS[name] as readonly Source[]) : undefined;
  if (sources === undefined) throw new InputError('--workload', name, `is unknown; expected ${workloadNames.join(', ')} or a file of JSON lines`);
  const contextFactor = LONGEST / longestContext;
  const requestFactor = sum(sources.map((source) => source.tokens)) / contextFactor / tokens;
  const requests: Request[] = [];
  for (const source of sources) {
    for (const request of requestsOf(source, contextFactor, requestFactor, (requests.at(-1)?.group ?? -1) + 1)) requests.push(request);
  }
  return { name, requests: shuffled(requests, seed), tokens: sum(requests.map((request) => request.tokens)), contextFactor, requestFactor };
}

/** A workload of one's own, as it is. */
export const ownWorkload = (name: string, requests: readonly Request[]): Workload =>
  ({ name, requests, tokens: sum(requests.map(({ tokens }) => tokens)), contextFactor: 1, requestFactor: 1 });

/** What tells the tokens of groups and requests apart in the hash. */
const [IN_GROUP, OWN] = [1, 2];

/** Tokens of a request: those given, or random ones below `vocabSize` of which the group's prefix is the group's. */
export function tokensOf({ requests }: Workload, index: number, vocabSize: number, seed: number): Uint32Array {
  const { tokens, prefix, group, given } = requests[index] as Request;
  return given ?? Uint32Array.from({ length: tokens }, (_, i) =>
    (i < prefix ? hashWords(seed, IN_GROUP, group, i) : hashWords(seed, OWN, index, i)) % vocabSize);
}
