import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FIXTURE, run, scratch } from './run.ts';

const { folder, file } = scratch();
const bench = (...args: string[]) => run('bench', 'router', ...args);
const line = (changes: object = {}): string => JSON.stringify({ timestamp: 0, input_length: 600, output_length: 3, hash_ids: [0, 1], ...changes });

describe('bad input of bench router', () => {
  it.each([
    [['--workload', 'many'], '--workload: many: is unknown; expected mixed, short, medium, long, ultra, or --trace with a file'],
    [['--schedulers', 'prefix,magic'], '--schedulers: magic: is unknown; expected some of prefix, grouped, least-loaded, shortest-prefill-first, random'],
    [['--engines', '8,9999'], '--engines: 9999 engines asked for; expected whole numbers from 1 to 4096'],
    [['--rate', '2'], '--rate: 2: mixed has no arrival times; expected inf, or --trace'],
    [['--trace', 'no-such.jsonl'], 'no-such.jsonl: no such file'],
    [['--saturation', 'fast'], '--saturation: "fast" is no rate; expected peak, measured, or FLOP/s above zero such as 1.5TFLOPS, 16GFLOP/s or 2e12'],
    [['--json', 'none/x.json'], '--json: none/x.json: cannot be written; expected a file in a folder that exists'],
    [['--model', 'no-such-model'], 'no-such-model: no such folder; expected a Hugging Face model folder'],
  ])('%j', async (args, message) => {
    const { exitCode, stderr, stdout } = await bench(...args);
    expect(stderr).toBe(`asyncep: ${message}\n`);
    expect([exitCode, stdout]).toEqual([2, '']);
  });

  it.each([
    [['--rate', '0'], "argument '0' is invalid. expected a number above zero, or inf"],
    [['--engines', '1,0'], "argument '1,0' is invalid. expected a whole number of at least 1"],
    [['--gamma', '0.5'], "argument '0.5' is invalid. expected a number of at least 1"],
    [['--hardware', '8xb200'], 'Allowed choices are 8xa100-bf16, 8xh100-bf16, 8xh100-fp8, 8xh200-fp8'],
  ])('%j', async (args, message) => {
    const { exitCode, stderr } = await bench(...args);
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
  });

  it.each([
    ['[1', 'is not valid JSON'],
    ['7', 'line 1: expected a JSON object'],
    [line({ timestamp: -1 }), 'line 1: timestamp: expected milliseconds of at least 0'],
    [`${line()}\n${line({ input_length: 0 })}`, 'line 2: input_length: expected a whole number of at least 1'],
    [line({ output_length: 1.5 }), 'line 1: output_length: expected a whole number of at least 0'],
    [line({ hash_ids: 5 }), 'line 1: hash_ids: expected a list of hash ids'],
    [line({ hash_ids: [0, 'a'] }), 'line 1: hash_ids: 1: expected whole numbers from 0 to 281474976710655'],
    [line({ hash_ids: [0, 1, 2] }), 'line 1: hash_ids: 3 ids for 600 tokens; expected 2, one for each 512 tokens'],
    [`${line()}\n\n${line({ hash_ids: [3, 1] })}`, 'line 3: hash_ids.1: 1 follows 3 here and follows 0 further up; expected ids that name a block with all that is before it'],
  ])('a trace of %s', async (text, message) => {
    const path = file('trace.jsonl', text);
    const { exitCode, stderr } = await bench('--trace', path);
    expect(stderr.startsWith(`asyncep: ${path}: ${message}`)).toBe(true);
    expect(exitCode).toBe(2);
  });
});

interface Report {
  readonly worlds: readonly {
    readonly machine: { readonly engines: number; readonly threshold: number };
    readonly rows: readonly { readonly scheduler: string; readonly engines: number; readonly gain: { readonly throughput: number }; readonly figures: Readonly<Record<string, unknown>> }[];
  }[];
}

describe('strategies of bench router', () => {
  it.each([
    [['--strategy', 'resident'], '--strategy: resident: keeps all experts on each device: weights '],
    [['--strategy', 'ep', '--gather-ms', '3'], '--gather-ms: no experts are gathered under ep; expected --strategy asyncep or sync'],
    [['--timeline', 'x.json'], '--timeline: x.json: shows one run, and 5 were asked for; expected one of --schedulers and one of --engines'],
  ])('%j make no sense', async (args, message) => {
    const { exitCode, stderr } = await bench(...args);
    expect(stderr.slice(0, `asyncep: ${message}`.length)).toBe(`asyncep: ${message}`);
    expect(exitCode).toBe(2);
  });

  it('ep, whose ranks go together, has a line of its own and a timeline that asyncep timeline reads', async () => {
    const path = join(folder, 'ep.json');
    const { exitCode, stdout } = await bench('--requests', '40', '--strategy', 'ep', '--schedulers', 'least-loaded', '--engines', '2', '--model', FIXTURE, '--timeline', path, '--timeline-passes', '1');
    expect(exitCode).toBe(0);
    expect(stdout).toContain('strategy ep: ranks compute every batch together, and have no prefix cache');
    const shown = await run('timeline', path);
    expect([shown.exitCode, shown.stderr]).toEqual([0, '']);
    expect(shown.stdout).toContain('rank 1');
    const { traceEvents } = JSON.parse(readFileSync(path, 'utf8')) as { traceEvents: { name: string; args?: { pass?: number } }[] };
    expect(traceEvents.map(({ name }) => name)).toContain('dispatch layer 0');
    expect(new Set(traceEvents.flatMap(({ args }) => args?.pass ?? []))).toEqual(new Set([0]));
  }, 60_000);
});

describe('bench router', () => {
  it('prints a table for each number of engines, and writes equal JSON and CSV for equal flags', async () => {
    const write = async (name: string) => {
      const paths = [join(folder, `${name}.json`), join(folder, `${name}.csv`)] as const;
      const outcome = await bench('--requests', '300', '--engines', '1,2', '--schedulers', 'prefix,least-loaded', '--json', paths[0], '--csv', paths[1]);
      return { ...outcome, json: readFileSync(paths[0], 'utf8'), csv: readFileSync(paths[1], 'utf8') };
    };
    const [first, second] = [await write('first'), await write('second')];
    expect(first.exitCode).toBe(0);
    expect(first.stdout).toContain('workload mixed: 301 requests');
    expect(first.stdout).toContain('\n2 engines\n');
    expect([second.json, second.csv]).toEqual([first.json, first.csv]);
    expect(first.json).not.toContain('decisionMs');
    const { worlds } = JSON.parse(first.json) as Report;
    expect(worlds.map(({ machine, rows }) => [machine.engines, rows.map(({ scheduler }) => scheduler)])).toEqual([[1, ['prefix', 'least-loaded']], [2, ['prefix', 'least-loaded']]]);
    expect(worlds.map(({ rows }) => rows[1]?.gain.throughput)).toEqual([1, 1]);
    expect(first.csv.trim().split('\n')).toHaveLength(5);
  }, 60_000);

  it('replays a trace with a model of one\'s own: latencies are told where arrivals have times', async () => {
    const path = file('good.jsonl', [line(), line({ timestamp: 900 }), line({ timestamp: 70_000, hash_ids: [0, 2] })].join('\n'));
    const replay = async (rate: string): Promise<Report & { stdout: string }> => {
      const json = join(folder, 'trace.json');
      const { exitCode, stdout } = await bench('--trace', path, '--rate', rate, '--model', FIXTURE, '--schedulers', 'prefix', '--json', json);
      expect(exitCode).toBe(0);
      return { ...(JSON.parse(readFileSync(json, 'utf8')) as Report), stdout };
    };
    const [timed, atOnce] = [await replay('1'), await replay('inf')];
    expect(timed.stdout).toContain('p99 s');
    expect(atOnce.stdout).not.toContain('p99 s');
    const figures = ({ worlds }: Report) => worlds[0]?.rows[0]?.figures;
    expect(figures(timed)).toMatchObject({ requests: 3, promptTokens: 1800, hitRate: (37 * 16 + 512) / 1800 });
    expect((figures(timed)?.['wallMs'] as number) >= 70_000).toBe(true);
    expect(figures(atOnce)).toMatchObject({ requests: 3, promptTokens: 1800, latencyMs: null });
  });
});
