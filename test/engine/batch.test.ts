/** Where the sequences of a batch lie: chunks, KV blocks, attention tiles, last tokens. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LAST_ALIGN, packBatch, type PackedBatch } from '../../src/engine/batch.ts';
import { assignBlocks, KV_MODES, kvBlocks, type KvMode } from '../../src/engine/kv-blocks.ts';

const ROWS = 32;
const lengths = fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 700 })), { minLength: 1, maxLength: 30 });
const chunkTokens = fc.constantFrom(64, 128, 192, 512);
const mode = fc.constantFrom(...KV_MODES);

const packed = (sizes: readonly number[], chunk: number, kv: KvMode): PackedBatch =>
  packBatch({ sequences: sizes.map((size) => ({ tokens: new Uint32Array(size).fill(7) })), candidates: null }, assignBlocks(sizes, chunk, kv), chunk, ROWS);

/** Where each sequence begins, and one past the last. */
const startsOf = (sizes: readonly number[]): number[] => [0, ...sizes].map((_, i) => sizes.slice(0, i).reduce((a, b) => a + b, 0));

/** The chunk of a token. */
const chunkOf = (token: number, chunk: number): number => Math.floor(token / chunk);

describe('every sequence of a batch', () => {
  it('ends in the chunk that says so, in order, and is found there by row, position and attention tile', () => {
    fc.assert(fc.property(lengths, chunkTokens, mode, (sizes, chunk, kv) => {
      const { chunks, lastRows, lastPositions, lastTiles, blockTable, kvSlots } = packed(sizes, chunk, kv);
      const starts = startsOf(sizes);
      expect(chunks.map(({ asked }) => asked).reduce((a, b) => a + b, 0)).toBe(sizes.length);
      let next = 0;
      for (const { start, tokens, firstAsked, asked, firstLast } of chunks) {
        expect(firstAsked).toBe(next);
        expect(firstLast % LAST_ALIGN).toBe(0);
        for (let i = 0; i < asked; i++, next++) {
          const size = sizes[next] as number;
          const last = (starts[next] as number) + size - 1;
          expect([start + (lastRows[firstLast + i] as number), lastPositions[firstLast + i]]).toEqual([last, size - 1]);
          expect(lastRows[firstLast + i]).toBeLessThan(tokens);
          const [row, rows, position, entry] = lastTiles.subarray(4 * (firstLast + i));
          expect([row, rows, position]).toEqual([i, 1, size - 1]);
          expect((blockTable[(entry as number) + Math.floor((size - 1) / 16)] as number) * 16 + ((size - 1) % 16)).toBe(kvSlots[last]);
        }
      }
    }));
  });

  it('has its queries in attention tiles once each, which see its own blocks', () => {
    fc.assert(fc.property(lengths, chunkTokens, mode, (sizes, chunk, kv) => {
      const { chunks, tiles, totalTokens, positions, kvSlots, blockTable } = packed(sizes, chunk, kv);
      const seen = new Uint8Array(totalTokens);
      for (const { start, tokens, firstTile, tiles: count } of chunks) {
        for (let t = firstTile; t < firstTile + count; t++) {
          const [row, rows, position, entry] = tiles.subarray(4 * t, 4 * t + 4) as unknown as [number, number, number, number];
          expect(rows).toBeGreaterThan(0);
          expect(rows).toBeLessThanOrEqual(ROWS);
          expect(row + rows).toBeLessThanOrEqual(tokens);
          for (let i = 0; i < rows; i++) {
            const token = start + row + i;
            const slot = (blockTable[entry + Math.floor((position + i) / 16)] as number) * 16 + ((position + i) % 16);
            if (positions[token] === position + i && slot === kvSlots[token]) seen[token]!++;
          }
        }
      }
      expect(seen.every((times) => times === 1)).toBe(true);
    }));
  });
});

describe('the KV blocks of a batch', () => {
  it('are written in order by their sequence, and hold its keys until its last chunk has seen them', () => {
    fc.assert(fc.property(lengths, chunkTokens, mode, (sizes, chunk, kv) => {
      const { kvSlots, blocks, chunks } = packed(sizes, chunk, kv);
      const starts = startsOf(sizes);
      // What the queue does: a chunk writes its slots, then each sequence with queries in it reads all its slots so far.
      const holder = new Int32Array(blocks * 16).fill(-1);
      for (const { start, tokens } of chunks) {
        const end = start + tokens;
        for (let token = start; token < end; token++) holder[kvSlots[token] as number] = token;
        for (const [i, first] of starts.slice(0, -1).entries()) {
          const behind = starts[i + 1] as number;
          if (first >= end || behind <= start) continue;
          const written = Math.min(behind, end) - first;
          const held = Array.from({ length: written }, (_, n) => first + n).every((token) => holder[kvSlots[token] as number] === token);
          expect(held, `sequence ${i} of ${sizes.join(', ')}`).toBe(true);
        }
      }
    }));
  });

  it('are shared by no two sequences that are alive at the same time', () => {
    fc.assert(fc.property(lengths, chunkTokens, mode, (sizes, chunk, kv) => {
      const { kvSlots } = packed(sizes, chunk, kv);
      const starts = startsOf(sizes);
      const uses = new Map<number, { from: number; to: number; sequence: number }[]>();
      for (const [sequence, size] of sizes.entries()) {
        const first = starts[sequence] as number;
        const to = kv === 'layer' ? Infinity : chunkOf(first + size - 1, chunk);
        for (let n = 0; n < size; n += 16) {
          const block = (kvSlots[first + n] as number) >> 4;
          const of = uses.get(block) ?? [];
          uses.set(block, [...of, { from: chunkOf(first + n, chunk), to, sequence }]);
        }
      }
      for (const of of uses.values()) {
        for (const [i, a] of of.entries()) for (const b of of.slice(i + 1)) expect(a.to < b.from || b.to < a.from, JSON.stringify([a, b])).toBe(true);
      }
    }));
  });

  it('are as many as the batch fills when they are kept, and without a cache what one chunk and the sequences that reach into it fill', () => {
    fc.assert(fc.property(lengths, chunkTokens, (sizes, chunk) => {
      const starts = startsOf(sizes);
      const total = starts.at(-1) as number;
      const filled = (tokens: number): number => Math.ceil(tokens / 16);
      expect(packed(sizes, chunk, 'layer').blocks).toBe(sizes.reduce((sum, size) => sum + filled(size), 0));
      let most = 0;
      for (let start = 0; start < total; start += chunk) {
        const end = Math.min(total, start + chunk);
        const alive = sizes.map((size, i) => {
          const first = starts[i] as number;
          return first < end && first + size > start ? filled(Math.min(size, end - first)) : 0;
        });
        most = Math.max(most, alive.reduce((a, b) => a + b, 0));
      }
      expect(packed(sizes, chunk, 'none').blocks).toBe(most);
      for (const kv of KV_MODES) expect(kvBlocks(sizes, chunk, kv)).toBe(packed(sizes, chunk, kv).blocks);
    }));
  });
});
