import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { writeTrace } from '../../src/trace/chrome-trace.ts';
import type { Track, TraceEvent } from '../../src/trace/events.ts';
import { run, scratch } from './run.ts';

const { folder, file } = scratch();

const bar = (track: Track, layer: number, fromMs: number, toMs: number): TraceEvent => ({
  name: `layer ${layer}`, rank: 0, track, startUs: fromMs * 1000, durationUs: (toMs - fromMs) * 1000, args: { layer, pass: 0 },
});
/** Compute 7 ms, transfer 8 ms, exposed from 3 to 5 and from 9 to 10. */
const events = [
  bar('compute', 0, 0, 3), bar('compute', 1, 5, 9), bar('receive', 1, 0, 5), bar('receive', 2, 7, 10), bar('wait', 1, 1, 5), bar('wait', 2, 9, 10),
];
const timeline = (name: string, more: TraceEvent[] = []): string => file(name, JSON.stringify(writeTrace([...events, ...more], ['rank 0: llvmpipe'])));

describe('asyncep timeline', () => {
  it('prints the schedule and the numbers of every rank', async () => {
    const { stdout, exitCode } = await run('timeline', timeline('a.json'));
    expect(exitCode).toBe(0);
    expect(stdout).toMatchInlineSnapshot(`
      "a.json: 10.00 ms from the first event to the last

      rank 0  compute  [=========== 0 ============]                   [================ 1 ================]
              receive  [===================== 1 =====================]                  [======= 2 =======]
                       0                                                                             9.0 ms

      ┌──────────────────┬─────────┬──────────┬─────────┬────────────────────┐
      │ rank             │ compute │ transfer │ exposed │ overlap efficiency │
      │ rank 0: llvmpipe │ 7.00 ms │ 8.00 ms  │ 3.00 ms │ 62.5 %             │
      │ mean             │ 7.00 ms │ 8.00 ms  │ 3.00 ms │ 62.5 %             │
      └──────────────────┴─────────┴──────────┴─────────┴────────────────────┘
      "
    `);
  });

  it('prints the numbers of every layer with --layers', async () => {
    const { stdout } = await run('timeline', '--layers', timeline('a.json'));
    expect(stdout).toContain('│ 1     │ 4.00 ms │ 5.00 ms  │ 2.00 ms │ 60.0 %             │');
  });

  it('writes one page of several timelines with --html', async () => {
    const html = join(folder, 'timeline.html');
    mkdirSync(join(folder, 'other'), { recursive: true });
    const { stdout, exitCode } = await run('timeline', timeline('a.json'), timeline('b.json'), timeline('other/b.json'), '--html', html);
    expect([exitCode, stdout.split('\n').at(-2)]).toEqual([0, `page  ${html} (open it in a browser)`]);
    const page = readFileSync(html, 'utf8');
    const data = JSON.parse(/<script type="application\/json" id="data">(.*)<\/script>/.exec(page)?.[1] ?? '') as { traces: { label: string }[] };
    expect(data.traces.map(({ label }) => label)).toEqual(['a.json', join(folder, 'b.json'), join(folder, 'other/b.json')]);
  });

  it('lets no name end the script that it stands in', async () => {
    const html = join(folder, 'hostile.html');
    await run('timeline', timeline('a.json', [{ ...bar('slot', 1, 5, 6), name: '</script><script>alert(1)</script>', args: { kind: '<!--<script>' } }]), '--html', html);
    const page = readFileSync(html, 'utf8');
    expect(page.split('<script').length - 1).toBe(2); // data and code
    expect(page).not.toContain('alert(1)</script>');
  });

  it.each([
    ['no such file', () => join(folder, 'none.json'), 'no such file'],
    ['a folder', () => folder, 'is a folder; expected a timeline that asyncep wrote with --trace'],
    ['what is no JSON', () => file('text.json', 'hello'), 'is not valid JSON'],
    ['JSON of another kind', () => file('other.json', '{"a": 1}'), 'traceEvents: expected a timeline that asyncep wrote with --trace: a list of events'],
    ['a trace of another program', () => file('chrome.json', '{"traceEvents": [{"ph": "B", "name": "x"}]}'), 'traceEvents[0].ph: expected a bar ("ph": "X") or a name ("ph": "M") as --trace writes them'],
  ])('refuses %s with the file, the field and what was expected', async (_, path, message) => {
    const html = join(folder, 'never.html');
    const { exitCode, stderr, stdout } = await run('timeline', path(), '--html', html);
    expect(stderr).toContain(`${path()}: ${message}`);
    expect([exitCode, stdout, existsSync(html)]).toEqual([2, '', false]);
  });

  it('refuses a page that it could not write, before it reads', async () => {
    const { exitCode, stderr } = await run('timeline', join(folder, 'none.json'), '--html', join(folder, 'none/page.html'));
    expect(stderr).toContain(`--html: ${join(folder, 'none/page.html')}: cannot be written; expected a file in a folder that exists\n`);
    expect(exitCode).toBe(2);
  });
});
