import { describe, expect, it } from 'vitest';
import { blockHashes } from '../../src/engine/prefix/block-hash.ts';
import { InputError } from '../../src/errors.ts';
import { arrivingAt, bestHitRate } from '../../src/sim/serving/prompts.ts';
import { syntheticWorkload, type SyntheticOptions } from '../../src/sim/serving/synthetic.ts';
import { tokenWorkload } from '../../src/sim/serving/tokens.ts';
import { traceRecord, traceWorkload, type TraceRecord } from '../../src/sim/serving/trace.ts';
import { REAL_MIX } from '../../src/sim/workload.ts';

const options: SyntheticOptions = { requests: 2000, order: 'shuffled', seed: 1 };
const common = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let length = 0;
  while (length < Math.min(a.length, b.length) && a[length] === b[length]) length++;
  return length;
};

describe('the paper\'s mix with shared prefixes', () => {
  it('has the paper\'s numbers, source by source, where no other is asked for', () => {
    const { prompts, tokens } = syntheticWorkload('mixed', { order: 'shuffled', seed: 1 });
    expect(prompts).toHaveLength(73_800);
    expect(Math.abs(tokens - 37.9e6)).toBeLessThan(10);
    for (const { name, requests, shortest, longest } of REAL_MIX) {
      const lengths = prompts.filter(({ source }) => source === name).map((prompt) => prompt.tokens);
      expect(lengths).toHaveLength(requests);
      expect(Math.min(...lengths)).toBeGreaterThanOrEqual(shortest);
      expect(Math.max(...lengths)).toBeLessThanOrEqual(longest);
    }
  });

  it('has a hash for every full block, and no hash twice in a prompt', () => {
    for (const { tokens, hashes } of syntheticWorkload('mixed', options).prompts) {
      expect(hashes).toHaveLength(Math.floor(tokens / 16));
      expect(new Set(hashes).size).toBe(hashes.length);
      expect(hashes.every((hash) => Number.isSafeInteger(hash) && hash >= 0)).toBe(true);
    }
  });

  it('shares blocks from the start of a prompt only: a block has the same one before it everywhere', () => {
    const before = new Map<number, number>();
    for (const { hashes } of syntheticWorkload('mixed', options).prompts) {
      hashes.forEach((hash, block) => {
        const own = block === 0 ? -1 : (hashes[block - 1] as number);
        expect(before.get(hash) ?? own).toBe(own);
        before.set(hash, own);
      });
    }
  });

  it.each([['QuALITY', 0.8], ['ArXiv', 0.4]])('questions on one document of %s have %d of their tokens in common, and documents a template', (name, share) => {
    const prompts = syntheticWorkload('mixed', options).prompts.filter(({ source }) => source === name);
    const shortest = Math.min(...prompts.map(({ tokens }) => tokens));
    for (const prompt of prompts) {
      const blocks = prompts.filter((other) => other !== prompt).map((other) => common(prompt.hashes, other.hashes));
      expect(Math.min(...blocks)).toBe(Math.floor((0.1 * shortest) / 16));
      expect((Math.max(...blocks) * 16) / prompt.tokens).toBeLessThanOrEqual(share);
    }
  });

  it('has siblings one after the other where they are to come together, and the same requests', () => {
    const [shuffled, together] = (['shuffled', 'together'] as const).map((order) => syntheticWorkload('mixed', { ...options, order }).prompts);
    const names = (prompts: typeof shuffled): string[] => (prompts ?? []).map(({ source, tokens }) => `${source} ${tokens}`).toSorted();
    expect(names(together)).toEqual(names(shuffled));
    const articles = (together ?? []).flatMap(({ source, hashes }, at) => (source === 'QuALITY' ? [{ at, article: hashes[100] as number }] : []));
    for (const article of new Set(articles.map((one) => one.article))) {
      const places = articles.filter((one) => one.article === article).map(({ at }) => at);
      expect(Math.max(...places) - Math.min(...places)).toBe(places.length - 1);
    }
  });

  it('is the same for the same seed, and in another order for another', () => {
    const lengths = (seed: number): number[] => syntheticWorkload('mixed', { ...options, seed }).prompts.map(({ tokens }) => tokens);
    expect(lengths(1)).toEqual(lengths(1));
    expect(lengths(2)).not.toEqual(lengths(1));
  });

  it('of the synthetic regimes nothing is shared', () => {
    const { prompts, tokens } = syntheticWorkload('medium', { ...options, requests: 100 });
    expect(bestHitRate({ prompts, tokens }, 16)).toBe(0);
    expect(prompts.every((prompt) => prompt.tokens === 4096)).toBe(true);
  });

  it.each(['shuffled', 'together'] as const)('%s: has the best hit rate that a set of all blocks tells, although blocks of nobody else are not looked at', (order) => {
    const { prompts, tokens } = syntheticWorkload('mixed', { ...options, order });
    const seen = new Set<number>();
    let cached = 0;
    for (const prompt of prompts) {
      const known = prompt.hashes.slice(0, Math.floor((prompt.tokens - 1) / 16)).findIndex((hash) => !seen.has(hash));
      cached += 16 * (known < 0 ? Math.floor((prompt.tokens - 1) / 16) : known);
      for (const hash of prompt.hashes) seen.add(hash);
    }
    expect(bestHitRate({ prompts, tokens }, 16)).toBe(cached / tokens);
  });

  it('has the same hashes whenever a prompt is asked, and wherever it was moved to', () => {
    const { prompts } = syntheticWorkload('mixed', { ...options, requests: 200 });
    const first = prompts.map(({ hashes }) => [...hashes]);
    for (const [i, prompt] of prompts.entries()) {
      const moved = arrivingAt(prompt, 7 * i);
      expect([...moved.hashes]).toEqual(first[i]);
      expect([moved.source, moved.tokens, moved.arrivalMs, moved.sharedBlocks]).toEqual([prompt.source, prompt.tokens, 7 * i, prompt.sharedBlocks]);
    }
  });

  it('is the workload it always was: names of blocks by source, group and request', () => {
    const { prompts } = syntheticWorkload('mixed', { order: 'shuffled', seed: 1, requests: 40 });
    expect(prompts.slice(0, 3).map(({ source, tokens, hashes }) => [source, tokens, hashes.length, hashes[0], hashes.at(-1)])).toEqual([
      ['MMLU', 75, 4, 147_456, 147_459], ['MoralStories', 124, 7, 65_536, 155_654], ['MoralStories', 102, 6, 49_152, 163_845],
    ]);
  });

  it('of an unknown name is refused', () => {
    expect(() => syntheticWorkload('many', options)).toThrow(InputError);
  });
});

describe('a workload of tokens', () => {
  const scaled = { ...options, requests: 300, longestContext: 4096, vocabSize: 500 };

  it('shares the blocks that the simulated one shares, of contexts divided by one factor', () => {
    const { sequences, contextFactor, tokens } = tokenWorkload('mixed', scaled);
    expect(contextFactor).toBe(32);
    expect(tokens).toBe(sequences.reduce((sum, { length }) => sum + length, 0));
    // Blocks that are equal as tokens are equal as hashes, which cover all that is before them.
    const hashed = bestHitRate({ prompts: sequences.map((sequence) => ({ source: '', tokens: sequence.length, hashes: blockHashes(sequence), arrivalMs: 0 })), tokens }, 16);
    expect(hashed).toBeGreaterThan(0);
    const prefixes = new Map<string, number>();
    let cached = 0;
    for (const sequence of sequences) {
      let end = 16;
      for (; end < sequence.length && prefixes.has(sequence.subarray(0, end).join()); end += 16) cached += 16;
      for (; end <= sequence.length; end += 16) prefixes.set(sequence.subarray(0, end).join(), 1);
    }
    expect(hashed).toBe(cached / tokens);
  });

  it('fits the vocabulary and the positions', () => {
    const { sequences } = tokenWorkload('mixed', scaled);
    expect(Math.max(...sequences.map(({ length }) => length))).toBeLessThanOrEqual(4096);
    expect(sequences.every((sequence) => sequence.length > 0 && sequence.every((token) => token < 500))).toBe(true);
  });
});

describe('a trace', () => {
  const read = (records: readonly unknown[], rate = 1) =>
    traceWorkload('t.jsonl', records.map((record, index) => ({ value: traceRecord.parse(record), where: `t.jsonl: line ${index + 1}` })), rate);
  const record = (changes: Partial<TraceRecord>): object => ({ timestamp: 0, input_length: 600, output_length: 3, hash_ids: [0, 1], ...changes });

  it('becomes blocks of 16: 32 of every id, the last one covers what is left', () => {
    const { prompts: [first, second], tokens } = read([record({}), record({ hash_ids: [0, 7], input_length: 1024 })]);
    expect([first?.hashes.length, second?.hashes.length, tokens]).toEqual([37, 64, 1624]); // 600 = 37 x 16 + 8
    expect(common(first?.hashes ?? [], second?.hashes ?? [])).toBe(32);
  });

  it('is told by its ids how much can be cached', () => {
    const workload = read([record({}), record({}), record({ hash_ids: [0, 2] })]);
    expect(bestHitRate(workload, 16)).toBe((37 * 16 + 512) / 1800);
  });

  it('arrives as it did, faster, or all at once', () => {
    const records = [record({ timestamp: 3000 }), record({ timestamp: 1000 })];
    const arrivals = (rate: number): number[] => read(records, rate).prompts.map(({ arrivalMs }) => arrivalMs);
    expect([arrivals(1), arrivals(4), arrivals(Infinity)]).toEqual([[1000, 3000], [250, 750], [0, 0]]);
    expect([1, Infinity].map((rate) => read(records, rate).timed)).toEqual([true, false]);
  });

  it.each([
    [[record({ hash_ids: [0] })], 't.jsonl: line 1: hash_ids: 1 ids for 600 tokens; expected 2, one for each 512 tokens'],
    [[record({}), record({ hash_ids: [5, 1] })], 't.jsonl: line 2: hash_ids.1: 1 follows 5 here and follows 0 further up; expected ids that name a block with all that is before it'],
    [[record({}), record({ hash_ids: [1, 8] })], 't.jsonl: line 2: hash_ids.0: 1 is the first here and follows 0 further up; expected ids that name a block with all that is before it'],
  ])('whose ids are no prefixes is refused: %#', (records, message) => {
    expect(() => read(records)).toThrow(InputError);
    expect(() => read(records)).toThrow(message);
  });
});
