import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AnsweredLines } from '../../../src/serving/batch/answered-lines.ts';
import { createGate } from '../../../src/serving/batch/gate.ts';
import { type TextLine, textLines } from '../../../src/serving/batch/text-lines.ts';

async function* chunksOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(bytes: Uint8Array, size: number, maxBytes?: number): Promise<TextLine[]> {
  const lines: TextLine[] = [];
  for await (const line of textLines(chunksOf(bytes, size), maxBytes)) lines.push(line);
  return lines;
}

describe('lines of a stream', () => {
  it('are those of the whole text, however it is cut into chunks', async () => {
    const text = fc.array(fc.string({ unit: 'binary', maxLength: 6 }).map((line) => line.replaceAll('\n', '')), { maxLength: 8 });
    await fc.assert(fc.asyncProperty(text, fc.boolean(), fc.integer({ min: 1, max: 9 }), async (lines, ended, size) => {
      const whole = lines.join('\n') + (ended ? '\n' : '');
      const found = await read(new TextEncoder().encode(whole), size);
      const wanted = whole.split('\n').map((line) => line.replace(/^\uFEFF/, ''));
      if (wanted.at(-1) === '' && !whole.endsWith('\uFEFF')) wanted.pop();
      expect(found.map(({ text }) => text)).toEqual(wanted);
      expect(found.map(({ line }) => line)).toEqual(wanted.map((_, index) => index + 1));
      expect(found.at(-1)?.endByte ?? 0).toBe(Buffer.byteLength(whole));
      expect(found.filter(({ terminated }) => !terminated)).toHaveLength(whole !== '' && !whole.endsWith('\n') ? 1 : 0);
    }));
  });

  it('that are no UTF-8 or too long are told of, and the next ones are read', async () => {
    const bytes = Buffer.concat([Buffer.from('one\n'), Buffer.from([0xff, 0x0a]), Buffer.from('0123456789\nlast')]);
    expect(await read(bytes, 4, 8)).toEqual([
      { line: 1, text: 'one', problem: '', endByte: 4, bytes: 3, terminated: true },
      { line: 2, text: null, problem: 'is not UTF-8 text', endByte: 6, bytes: 1, terminated: true },
      { line: 3, text: null, problem: 'is longer than 8 bytes', endByte: 17, bytes: 10, terminated: true },
      { line: 4, text: 'last', problem: '', endByte: 21, bytes: 4, terminated: false },
    ]);
  });
});

describe('the answered lines', () => {
  it('know each line once, and its custom_id', () => {
    const lines = new AnsweredLines();
    expect([lines.add(5, 'a'), lines.add(100_000, null), lines.add(5, 'b')]).toEqual([true, true, false]);
    expect([lines.has(5), lines.has(6), lines.has(100_000), lines.has(10_000_000)]).toEqual([true, false, true, false]);
    expect([lines.matches(5, 'a'), lines.matches(5, 'b'), lines.matches(5, null), lines.matches(100_000, null)]).toEqual([true, false, false, true]);
    expect([lines.count, lines.last]).toEqual([2, 100_000]);
  });
});

describe('a gate', () => {
  it('never holds more than its room unless one alone is larger, and lets all in, in their order', async () => {
    await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 10 }), fc.array(fc.integer({ min: 1, max: 14 }), { maxLength: 30 }), async (room, sizes) => {
      const gate = createGate(room);
      const order: number[] = [];
      let [inside, sum] = [0, 0];
      await Promise.all(sizes.map(async (size, index) => {
        await gate.enter(size);
        [inside, sum] = [inside + 1, sum + size];
        order.push(index);
        expect(sum <= room || inside === 1).toBe(true);
        await new Promise((resolve) => { setImmediate(resolve); });
        [inside, sum] = [inside - 1, sum - size];
        gate.leave(size);
      }));
      expect(order).toEqual(sizes.map((_, index) => index));
    }));
  });
});
