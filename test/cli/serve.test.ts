import { once } from 'node:events';
import { createServer } from 'node:net';
import { Command } from 'commander';
import { describe, expect, it, onTestFinished } from 'vitest';
import { isLoopback, type ServeFlags, servingFlags, withServeOptions } from '../../src/cli/serve-options.ts';
import { exposureNote, startText } from '../../src/cli/serve-text.ts';
import { servedModel } from '../serving/operations-fakes.ts';
import { run, scratch } from './run.ts';

const MODEL = ['--model', 'models/spam-mail'];
const { file } = scratch();

describe('serve --help', () => {
  it('names its own flags with their defaults, and ends with examples', async () => {
    const { stdout } = await run('serve', '--help');
    const flags = [...stdout.matchAll(/^ {2}(--[a-z-]+)/gm)].map(([, flag]) => flag);
    expect(flags).toEqual(expect.arrayContaining(['--model', '--ranks', '--host', '--port', '--api-key', '--scheduler', '--saturation', '--gamma', '--max-wait', '--max-queue', '--prefix-cache',
      '--labels', '--template', '--allow-templates', '--max-prompt-tokens', '--max-prompts', '--max-body', '--request-timeout', '--keep-alive', '--drain-seconds', '--no-timeline', '--model-id']));
    expect(stdout.replaceAll(/\s+/g, ' ')).toContain('(choices: "cache", "layer", "none", default: cache; layer where ranks compute batches together)');
    expect(stdout.slice(stdout.indexOf('Examples:'))).toMatch(/\$ asyncep serve --model models\/spam-mail --labels spam,ham/);
  });
});

describe('serve refuses before any work', () => {
  it.each([
    [['--port', '65536'], "option '--port <n>' argument '65536' is invalid. expected a port from 0 (any that is free) to 65535"],
    [['--scheduler', 'fifo'], 'Allowed choices are prefix, grouped, least-loaded, shortest-prefill-first, random'],
    [['--saturation', 'fast'], '"fast" is no rate; expected peak, measured, or FLOP/s above zero'],
    [['--gamma', '0.5'], 'expected a number of at least 1'],
    [['--max-wait', '-1'], 'expected a number of milliseconds from 0'],
    [['--max-queue', '0'], 'expected a whole number of at least 1'],
    [['--max-body', 'much'], 'expected a number of bytes such as 64MB or 1.5GiB'],
    [['--prefix-cache', '1MB', '--kv', 'layer'], '--prefix-cache: has no use with --kv layer; expected --kv cache'],
    [['--prefix-cache', '0'], 'expected a number of bytes'],
    [['--api-key', ' '], 'expected a text that is not empty'],
    [['--drain-seconds', '0'], 'expected a number of seconds above zero'],
    [['--max-prompt-tokens', '4000'], '--max-prompt-tokens: 4000: expected at most 2048 (max_position_embeddings)'],
    [['--labels', 'spam,unlikelyword'], '--labels: unlikelyword: has 5 tokens'],
    [['--labels', 'spam'], '--labels: expected at least two labels, got 1'],
    [['--template', 'missing.jinja', '--labels', 'spam,ham'], '--template: missing.jinja: cannot be read; expected a file with a Jinja template'],
    [['--template', 'models/spam-mail/template.jinja'], '--template: needs --labels with it: it is that of /v1/classify'],
    [['--trace', '/nowhere/trace.json'], '--trace: /nowhere/trace.json: cannot be written'],
    [['--host', '203.0.113.7'], '--host: 203.0.113.7: cannot be listened on (EADDRNOTAVAIL); expected an address of this machine'],
  ])('%j', async (flags, message) => {
    const { exitCode, stderr, stdout } = await run('serve', ...MODEL, ...flags);
    expect(stderr).toContain(message);
    expect([exitCode, stdout]).toEqual([2, '']);
  });

  it('a template without its variable, and a model that has no tokenizer', async () => {
    const bad = await run('serve', ...MODEL, '--labels', 'spam,ham', '--template', file('t.jinja', 'no variable'));
    expect(bad.stderr).toContain('t.jinja: text: is not used; expected {{ text }} in a classify template');
    const preset = await run('serve', '--model', 'qwen3-30b-a3b', '--random-weights', '1');
    expect(preset.exitCode).toBe(2);
    expect(preset.stderr).toContain('expected');
  });

  it('a port that is in use', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void taken.close());
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    const { exitCode, stderr } = await run('serve', ...MODEL, '--port', String(port));
    expect([exitCode, stderr]).toEqual([2, `asyncep: --port: ${port}: is in use on 127.0.0.1; expected a free one (0 takes any)\n`]);
  });
});

describe('what serve says and assumes', () => {
  it('keeps a cache of prefixes wherever ranks compute batches of their own, unless told otherwise', () => {
    const kvOf = (...flags: string[]): string => {
      const command = withServeOptions(new Command()).parse([...MODEL, ...flags], { from: 'user' });
      return servingFlags(command.opts<ServeFlags>(), command).kv;
    };
    expect(['asyncep', 'sync', 'resident', 'ep', 'dp-tp', 'tp-ep', 'tp', 'pp'].map((name) => kvOf('--strategy', name)))
      .toEqual(['cache', 'cache', 'cache', 'layer', 'layer', 'layer', 'layer', 'layer']);
    expect([kvOf('--kv', 'layer'), kvOf('--kv', 'none'), kvOf('--kv', 'cache', '--strategy', 'ep')]).toEqual(['layer', 'none', 'cache']);
  });

  it('warns of an address that others can reach without a key', () => {
    expect(['127.0.0.1', '127.1.2.3', 'localhost', '::1', '0.0.0.0', '::', '10.0.0.1', 'localhost.example.org'].map(isLoopback)).toEqual([true, true, true, true, false, false, false, false]);
    expect(exposureNote({ host: '0.0.0.0' })).toBe('note: 0.0.0.0 can be reached from other machines, and no --api-key is set');
    expect(exposureNote({ host: '0.0.0.0', apiKey: 'x' })).toBeNull();
    expect(exposureNote({ host: '127.0.0.1' })).toBeNull();
  });

  it('tells the ranks, t_EP and T with its arithmetic', () => {
    const engine = { engine: 0, adapter: 'llvmpipe', software: true, pid: 1, state: 'ready', restarts: 0, gatherMs: 1.234, measuredFlopsPerSecond: 2.5e9, peakFlopsPerSecond: 5e9, maxBatchBlocks: 256, cacheBlocks: 100, memory: [] } as const;
    const saturation = { gatherMs: 1.234, moeLayers: 4, flopsPerSecond: 5e9, rate: 'peak', gamma: 1.2, gatherFlops: 2.96e7, threshold: 2.96e7, arithmetic: 'T = 4 MoE layers x 1.23 ms x 5 GFLOP/s (peak) x 1.2 = 29.6 MFLOP' } as const;
    const pool = { engines: [engine, { ...engine, engine: 1, adapter: 'H100', software: false, cacheBlocks: 0 }] } as any;
    expect(startText({ pool, saturation, warning: 'compute cannot hide the gathers' }, servedModel(), { strategy: 'asyncep', ranks: 2, scheduler: 'prefix', kv: 'cache' })).toEqual([
      'spam-mail: asyncep on 2 ranks, scheduler prefix, --kv cache, prompts of at most 2,048 tokens',
      'rank 0: llvmpipe (software), 2.5 GFLOP/s in a pass of a peak of 5.0 GFLOP/s, t_EP 1.23 ms, prefix cache of 1,600 tokens',
      'rank 1: H100, 2.5 GFLOP/s in a pass of a peak of 5.0 GFLOP/s, t_EP 1.23 ms, no prefix cache',
      'T = 4 MoE layers x 1.23 ms x 5 GFLOP/s (peak) x 1.2 = 29.6 MFLOP',
      'note: compute cannot hide the gathers',
    ]);
  });
});
