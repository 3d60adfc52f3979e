/** Which rows of a batch are whose: every rank works it out alone, and all must come to the same. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packBatch } from '../../src/engine/batch.ts';
import { assignBlocks } from '../../src/engine/kv-blocks.ts';
import { ownedBatch } from '../../src/engine/split/pass.ts';
import { planOwnSequences, planSharedSequences } from '../../src/engine/split/row-plan.ts';
import { startsOf } from '../../src/model/shard.ts';
import { othersRows, partOf } from '../../src/engine/split/scatter.ts';

const CHUNK = 64;
const sum = (list: readonly number[]): number => list.reduce((total, value) => total + value, 0);
const lengths = fc.array(fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 200 })), { maxLength: 12 });
const worlds = fc.integer({ min: 1, max: 8 });

/** Whether each token of the packed sequences is its sequence's last one. */
const lastFlags = (sequences: readonly number[]): boolean[] => sequences.flatMap((length) => Array.from({ length }, (_, i) => i === length - 1));
const count = (flags: readonly boolean[]): number => flags.filter(Boolean).length;
/** Tokens whose values tell sequence and place apart. */
const numbered = (sequences: readonly number[]) => sequences.map((length, s) => ({ tokens: Uint32Array.from({ length }, (_, t) => s * 1000 + t) }));

describe('a batch of sequences that each rank has for itself', () => {
  it('is cut into as many chunks as the longest rank\'s, each with that rank\'s tokens and last tokens in it', () => {
    fc.assert(fc.property(fc.array(lengths, { minLength: 1, maxLength: 6 }), (ranks) => {
      const flags = ranks.map(lastFlags);
      const chunks = planOwnSequences(ranks, CHUNK);
      expect(chunks).toHaveLength(Math.ceil(Math.max(...flags.map((own) => own.length)) / CHUNK));
      for (const [c, { tokens, last }] of chunks.entries()) {
        const here = flags.map((own) => own.slice(c * CHUNK, (c + 1) * CHUNK));
        expect(tokens).toEqual(here.map((own) => own.length));
        expect(last).toEqual(here.map(count));
      }
    }));
  });
});

describe('a batch that all ranks attend to', () => {
  it('has the rows of each chunk split in order, sizes differing by one at most', () => {
    fc.assert(fc.property(lengths, worlds, (sequences, world) => {
      const flags = lastFlags(sequences);
      for (const [c, { tokens, last }] of planSharedSequences(sequences, CHUNK, world).entries()) {
        const chunk = flags.slice(c * CHUNK, (c + 1) * CHUNK);
        expect(sum(tokens)).toBe(chunk.length);
        expect(Math.max(...tokens) - Math.min(...tokens)).toBeLessThanOrEqual(1);
        const starts = startsOf(tokens);
        expect(last).toEqual(tokens.map((_, rank) => count(chunk.slice(starts[rank], starts[rank + 1]))));
      }
    }));
  });

  it('gives every token, and every sequence\'s last one, to one rank, which finds it where it looks', () => {
    fc.assert(fc.property(lengths, worlds, (sequences, world) => {
      const batch = numbered(sequences);
      const packed = packBatch({ sequences: batch, candidates: null }, assignBlocks(batch.map(({ tokens }) => tokens.length), CHUNK, 'layer'), CHUNK, 16);
      const chunks = planSharedSequences(sequences, CHUNK, world);
      const owned = Array.from({ length: world }, (_, rank) => ownedBatch(packed, chunks, rank, true, CHUNK));
      const tokens = chunks.flatMap(({ tokens: counts }, c) => owned.flatMap(({ ownTokens }, rank) => [...ownTokens.subarray(c * CHUNK, c * CHUNK + counts[rank]!)]));
      expect(tokens).toEqual([...packed.tokens]);
      const answered = owned.flatMap(({ sequences: rows, ownLast, ownTokens, lastStarts, lastRows }) => rows.map(({ row, sequence }) => {
        expect(row).toBeLessThan(lastRows);
        const c = lastStarts.findLastIndex((start) => start <= row && chunks.length > 0);
        const candidates = lastStarts.flatMap((start, chunk) => (start === lastStarts[c] ? [chunk] : []));
        const last = batch[sequence]!.tokens.at(-1)!;
        expect(candidates.map((chunk) => ownTokens[chunk * CHUNK + ownLast[row]!])).toContain(last);
        return sequence;
      }));
      expect(answered.toSorted((a, b) => a - b)).toEqual([...sequences.keys()]);
    }));
  });
});

describe('rows of all ranks, one behind the other', () => {
  it('travel without the own ones, each rank\'s where it is looked for', () => {
    fc.assert(fc.property(fc.array(fc.nat(9), { minLength: 1, maxLength: 8 }), fc.nat(7), (rows, pick) => {
      const own = pick % rows.length;
      const starts = startsOf(rows);
      const buffer = {} as GPUBuffer;
      // One byte a row, named by its place.
      const sent = othersRows(buffer, starts, own, 1).flatMap(({ offset, bytes }) => Array.from({ length: bytes }, (_, i) => offset + i));
      for (const rank of rows.keys()) {
        const part = partOf(starts, rank, own, 1);
        const expected = rank === own ? undefined : Array.from({ length: rows[rank]! }, (_, i) => starts[rank]! + i);
        expect(part && sent.slice(part.offset, part.offset + part.bytes)).toEqual(expected ?? null);
      }
    }));
  });
});
