/** The batch that an engine gathers: its load in FLOPs, tokens and KV blocks, and whether one more request goes into it. */
import { BLOCK_TOKENS } from '../runtime/kernels/attention.ts';
import { BlockSet } from './block-set.ts';
import type { Queued } from './request-queue.ts';
import type { Routable } from './scheduling.ts';

/** A request that has not left, or that is under way. */
export interface Entry<R extends Routable> extends Queued {
  readonly request: R;
  /** Leading blocks that its engine had or was promised when it was put into the batch; the others are promised by it. */
  matched: number;
}

export interface BatchLimits {
  readonly batchTokens: number;
  readonly batchBlocks: number;
}

export class FillingBatch<R extends Routable> {
  readonly #limits: BatchLimits;
  #entries: Entry<R>[] = [];
  /** KV blocks if nothing were shared. */
  #blocksAtMost = 0;
  /** Different blocks of the first `#counted` requests, and how many KV blocks these have: counted when it matters whether blocks are shared. */
  readonly #blockHashes = new BlockSet();
  #blocks = 0;
  #counted = 0;
  /** L_i: FLOPs. */
  flops = 0;
  /** Of the request that was added last. */
  lastFlops = 0;
  /** To compute: without those matched. */
  tokens = 0;
  oldestMs = Infinity;
  /** It had to refuse a request for want of memory, and takes no more until it has left. */
  full = false;

  constructor(limits: BatchLimits) {
    this.#limits = limits;
  }

  get entries(): readonly Entry<R>[] {
    return this.#entries;
  }

  get empty(): boolean {
    return this.#entries.length === 0;
  }

  /** Whether memory allows one more. An empty batch takes any request: a longer one than a batch may be goes alone. */
  fits(request: R, matched: number): boolean {
    if (this.empty) return true;
    if (this.tokens + request.tokens - matched * BLOCK_TOKENS > this.#limits.batchTokens) return false;
    const blocks = blocksOf(request);
    if (this.#blocksAtMost + blocks <= this.#limits.batchBlocks) return true;
    for (; this.#counted < this.#entries.length; this.#counted++) this.#countBlocks((this.#entries[this.#counted] as Entry<R>).request);
    return this.#blocks + blocks - this.#shared(request) <= this.#limits.batchBlocks;
  }

  add(entry: Entry<R>, matched: number): void {
    const { request } = entry;
    entry.matched = matched;
    this.#entries.push(entry);
    this.#blocksAtMost += blocksOf(request);
    this.tokens += request.tokens - matched * BLOCK_TOKENS;
    this.lastFlops = request.flops(matched * BLOCK_TOKENS);
    this.flops += this.lastFlops;
    this.oldestMs = Math.min(this.oldestMs, request.arrivedMs);
  }

  /** Empties it. @returns what was in it, in order */
  take(): Entry<R>[] {
    const entries = this.#entries;
    this.#entries = [];
    this.#blockHashes.clear();
    this.#blocks = this.#blocksAtMost = this.#counted = 0;
    this.flops = this.lastFlops = this.tokens = 0;
    this.oldestMs = Infinity;
    this.full = false;
    return entries;
  }

  #countBlocks(request: R): void {
    const shared = this.#shared(request);
    this.#blocks += blocksOf(request) - shared;
    const { hashes } = request;
    for (let block = shared; block < hashes.length; block++) this.#blockHashes.add(hashes[block] as number);
  }

  /** Leading blocks that a request of the batch has already; beyond `cacheable` each computes its own. */
  #shared({ hashes, cacheable }: R): number {
    let block = 0;
    while (block < cacheable && block < hashes.length && this.#blockHashes.has(hashes[block] as number)) block++;
    return block;
  }
}

const blocksOf = ({ tokens }: Routable): number => Math.ceil(tokens / BLOCK_TOKENS);
