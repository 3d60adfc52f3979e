import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { openLearnServer, type LearnServer } from '../../src/cli/learn-server.ts';
import { programArguments } from '../../src/node/program-arguments.ts';
import { writeTrace } from '../../src/trace/chrome-trace.ts';
import { run, scratch } from './run.ts';

const { folder, file } = scratch();
const MODEL = resolve('models/spam-mail');
const MAIN = programArguments(new URL('../../src/cli/main.ts', import.meta.url).href);
const WEIGHTS = readFileSync(`${MODEL}/model.safetensors`);
const TRACE = JSON.stringify(writeTrace([{ name: 'layer 0', rank: 0, track: 'compute', startUs: 5, durationUs: 7, args: { layer: 0 } }]));

/** A page that is built, as far as a server can tell. */
const page = (): string => {
  file('index.html', '<!doctype html><title>page</title>');
  file('script.js', 'export {};');
  return folder;
};

let server: LearnServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});
const open = async (more: Partial<Parameters<typeof openLearnServer>[0]> = {}): Promise<string> => {
  server = await openLearnServer({ host: '127.0.0.1', port: 0, page: page(), model: MODEL, ...more });
  return server.url;
};

describe('the server of the teaching page', () => {
  it('gives the page, its files with their types, and the model beside it', async () => {
    const url = await open();
    const types = await Promise.all(['', 'script.js', 'spam-mail/config.json'].map(async (path) => {
      const answer = await fetch(new URL(path, url));
      return [answer.status, answer.headers.get('content-type')?.split(';')[0]];
    }));
    expect(types).toEqual([[200, 'text/html'], [200, 'application/javascript'], [200, 'application/json']]);
  });

  it('gives any range of the weights, and says how long the file is', async () => {
    const url = new URL('spam-mail/model.safetensors', await open());
    for (const [from, to] of [[0, 0], [8, 4103], [WEIGHTS.length - 5, WEIGHTS.length - 1]] as const) {
      const answer = await fetch(url, { headers: { range: `bytes=${from}-${to}` } });
      expect([answer.status, answer.headers.get('content-range')]).toEqual([206, `bytes ${from}-${to}/${WEIGHTS.length}`]);
      expect(Buffer.from(await answer.arrayBuffer()).equals(WEIGHTS.subarray(from, to + 1))).toBe(true);
    }
  });

  it.each(['none.js', 'spam-mail/none.json', 'traces/trace.json', '..%2f..%2fpackage.json', 'spam-mail/..%2f..%2fpackage.json'])('has no %s', async (path) => {
    const answer = await fetch(`${await open()}${path}`);
    expect([403, 404]).toContain(answer.status);
    expect(await answer.text()).not.toContain('"dependencies"');
  });

  it('gives a trace under its name, which stands in the address, and no other file of its folder', async () => {
    const url = await open({ trace: file('my run?.json', TRACE) });
    const named = new URL(url).searchParams.get('trace') as string;
    expect(named).toBe('traces/my%20run%3F.json');
    expect(await (await fetch(new URL(named, url))).text()).toBe(TRACE);
    expect((await fetch(new URL('traces/index.html', url))).status).toBe(404);
  });

  it('is opened by loopback on this machine when it listens on every address', async () => {
    const url = await open({ host: '0.0.0.0' });
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
    expect((await fetch(url)).status).toBe(200);
  });

  it('says how to build a page that is not there', async () => {
    const missing = join(folder, 'none');
    await expect(openLearnServer({ host: '127.0.0.1', port: 0, page: missing, model: MODEL }))
      .rejects.toThrow(`${missing}: the teaching page has not been built; npm run build:learn does it`);
  });

  it('names the flag when the port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void other.close());
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    await expect(open({ port })).rejects.toThrow(`--port: ${port}: is in use on 127.0.0.1; expected a free one (0 takes any)`);
  });
});

/** `asyncep learn` as a process of its own, from the moment at which it has told its address. */
async function learn(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<{ url: string; child: ChildProcess }> {
  const child = spawn(process.execPath, [...MAIN, 'learn', ...args], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [chunk] = await Promise.race([once(child.stdout, 'data'), once(child, 'exit').then(([code]) => { throw new Error(`ended with ${code}`); })]);
  const url = /^(\S+) {2}\(Ctrl-C ends it\)\n$/.exec(String(chunk))?.[1];
  if (url === undefined) throw new Error(`said ${String(chunk)}`);
  return { url, child };
}

describe('asyncep learn', () => {
  it('prints the address, serves the built page with a trace until SIGINT, and ends with 0', async () => {
    const { url, child } = await learn(['--no-open', '--trace', file('demo.json', TRACE)]);
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/\?trace=traces%2Fdemo\.json$/);
    expect(await (await fetch(url)).text()).toContain('<div id="page">');
    expect((await fetch(new URL('spam-mail/config.json', url))).status).toBe(200);
    const ended = once(child, 'exit');
    child.kill('SIGINT');
    expect(await ended).toEqual([0, null]);
  });

  it.runIf(process.platform === 'linux')('opens the address in the browser', async () => {
    const told = join(folder, 'told');
    const browser = file('browser.sh', `#!/bin/sh\necho "$1" > ${told}.part && mv ${told}.part ${told}\n`);
    chmodSync(browser, 0o755);
    const { url } = await learn([], { BROWSER: browser, DISPLAY: '', WAYLAND_DISPLAY: '', XDG_CURRENT_DESKTOP: '', DESKTOP_SESSION: '' });
    await expect.poll(() => existsSync(told), { timeout: 10_000 }).toBe(true);
    expect(readFileSync(told, 'utf8')).toBe(`${url}\n`);
  });

  it.each([
    [['--trace', 'none.json'], 'none.json: no such file'],
    [['--trace', 'package.json'], 'package.json: traceEvents: expected a timeline that asyncep wrote with --trace: a list of events'],
    [['--port', '70000'], 'expected a port from 0 (any that is free) to 65535'],
    [['--host', '192.0.2.1'], '--host: 192.0.2.1: cannot be listened on (EADDRNOTAVAIL); expected an address of this machine'],
  ])('refuses %j and says what was expected', async (flags, message) => {
    const { exitCode, stderr, stdout } = await run('learn', '--no-open', ...flags);
    expect(stderr).toContain(message);
    expect([exitCode, stdout]).toEqual([2, '']);
  });
});
