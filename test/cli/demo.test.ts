import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeDemo } from '../../src/cli/demo-report.ts';
import type { TraceEvent, Track } from '../../src/trace/events.ts';
import { run, scratch } from './run.ts';

const { folder } = scratch();

describe('the report of the demo', () => {
  const mail = (id: string, label: 'spam' | 'ham') => ({ id, source: 'heldout.jsonl', place: 'line 1', value: { id, text: `Subject: mail ${id}\n\nbody`, label } });
  const verdict = (id: string, answer: string, probability: number) => [id, { id, answer, probability, probabilities: {} }] as const;
  const bar = (track: Track, layer: number, startUs: number, durationUs: number): TraceEvent => ({
    name: `layer ${layer}`, rank: 0, track, startUs, durationUs, args: { layer, pass: 3 },
  });

  it('shows the wrong answers first, and figures from their formulas', () => {
    const text = describeDemo({
      mails: [mail('a', 'ham'), mail('b', 'spam'), mail('c', 'spam'), mail('not asked', 'ham')],
      verdicts: new Map([verdict('a', 'ham', 0.99), verdict('b', 'ham', 0.6), verdict('c', 'spam', 0.9)]),
      stats: { tokens: 3000, seconds: 2, flops: 4e9, overlapEfficiency: 0.985, copyMs: 40 },
      events: [bar('compute', 0, 0, 1000), bar('compute', 1, 1000, 1000), bar('receive', 1, 0, 400)],
      ranks: 2, matmulFlopsPerSecond: 8e9, timeline: '/t.json',
    });
    expect(text).toMatchInlineSnapshot(`
      "┌─────────┬────────┬─────────────┬───────┬───────┐
      │ subject │ answer │ probability │ truth │       │
      │ mail b  │ ham    │ 60.0 %      │ spam  │ wrong │
      │ mail a  │ ham    │ 99.0 %      │ ham   │       │
      │ mail c  │ spam   │ 90.0 %      │ spam  │       │
      └─────────┴────────┴─────────────┴───────┴───────┘
      accuracy            66.7 % (2 of 3 held-out mails)
      throughput          1,500 tokens/s (3,000 tokens in 2.0 s, 2 ranks)
      MFU                 25.0 % (2.0 GFLOP/s of 8.0 GFLOP/s, the adapter's measured matmul rate)
      overlap efficiency  98.5 % of the gather time did not leave the device idle; copies to the slots take 1.0 % of its time

      layers of one pass, the experts of the next ones on their way meanwhile:
      rank 0  compute  [================== 0 ===================][================== 1 ===================]
              receive  [====== 1 ======]
                       0                                                                             2.0 ms

      timeline            /t.json (open it in ui.perfetto.dev)
      "
    `);
  });
});

describe('asyncep demo', () => {
  it('classifies mails of the package on two ranks and writes their timeline', async () => {
    const timeline = join(folder, 'trace.json');
    const { stdout, exitCode } = await run('demo', '--mails', '12', '--trace', timeline);
    expect(exitCode).toBe(0);
    const right = Number(/accuracy .*\((\d+) of 12 held-out mails\)/.exec(stdout)?.[1]);
    expect(right).toBeGreaterThanOrEqual(9);
    for (const part of ['throughput', 'MFU', 'overlap efficiency', 'rank 1  compute', `timeline            ${timeline}`]) expect(stdout).toContain(part);
    const { traceEvents } = JSON.parse(readFileSync(timeline, 'utf8')) as { traceEvents: { ph: string; pid: number }[] };
    expect(new Set(traceEvents.filter(({ ph }) => ph === 'X').map(({ pid }) => pid))).toEqual(new Set([0, 1]));
  });
});
