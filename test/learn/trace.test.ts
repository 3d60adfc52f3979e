/** Timelines of real runs on the teaching page. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openLearnServer } from '../../src/cli/learn-server.ts';
import { writeTrace } from '../../src/trace/chrome-trace.ts';
import { readTrace } from '../../src/trace/read-trace.ts';
import { summarizeTrace } from '../../src/trace/summary.ts';
import { msText } from '../../web/learn/numbers.ts';
import { run, scratch } from '../cli/run.ts';
import { launchBrowser, type Watched, watchedPage } from '../trace/chromium.ts';
import { servePage, type ServedPage } from './served-page.ts';

const MODEL = 'models/spam-mail';
const { folder, file } = scratch();
/** Of a classification on two ranks of this machine. */
const real = `${folder}/real.json`;
let served: ServedPage;
let browser: Browser;
let watched: Watched;
beforeAll(async () => {
  const mails = readFileSync(`${MODEL}/heldout.jsonl`, 'utf8').split('\n').slice(0, 12).join('\n');
  const { exitCode, stderr } = await run(
    'classify', '--model', MODEL, '--template', `${MODEL}/template.jinja`, '--labels', 'spam,ham', '--ranks', '2', '--batch-tokens', '1024', '--trace', real, file('mails.jsonl', mails),
  );
  if (exitCode !== 0) throw new Error(stderr);
  [served, browser] = await Promise.all([servePage(), launchBrowser()]);
}, 180_000);
afterAll(async () => {
  await browser?.close();
  await served?.close();
});
afterEach(() => watched?.page.close());

async function open(url = served.url): Promise<Page> {
  watched = await watchedPage(browser, { viewport: { width: 1200, height: 800 } });
  await watched.page.goto(url);
  await watched.page.locator('#tour-start').waitFor();
  return watched.page;
}

const small = (name: string): string => file(name, JSON.stringify(writeTrace([
  { name: 'layer 0', rank: 0, track: 'compute', startUs: 5000, durationUs: 7000, args: { layer: 0, pass: 0 } },
])));
const choice = (page: Page) => page.locator('#shown-run');
const problem = (page: Page) => page.locator('#trace-problem');
const choose = (page: Page, ...paths: string[]): Promise<void> => page.setInputFiles('#trace-file', paths);
const wallTime = (page: Page) => page.locator('#wall-ms');

describe('the timeline of a real run', () => {
  it('is drawn: its ranks, its passes, its length; the simulation comes back', async () => {
    const page = await open();
    const simulated = await wallTime(page).textContent();
    await choose(page, real);
    await expect.poll(() => choice(page).inputValue()).toBe('real.json');
    const { events } = readTrace(JSON.parse(readFileSync(real, 'utf8')), real);
    const passes = [...new Set(events.map(({ args }) => args?.['pass']).filter((pass) => pass !== undefined))].sort((a, b) => Number(a) - Number(b));
    expect(await page.locator('.rank[data-rank]').evaluateAll((ranks) => ranks.map((rank) => (rank as HTMLElement).dataset['rank']))).toEqual(['0', '1']);
    expect(await page.locator('.real option').evaluateAll((options) => options.map((option) => (option as HTMLOptionElement).value))).toEqual(['', ...passes.map(String)]);
    await page.locator('.real select').selectOption('');
    await expect.poll(() => wallTime(page).textContent()).toBe(msText(summarizeTrace(events).totalMs));
    await choice(page).selectOption('');
    await expect.poll(() => wallTime(page).textContent()).toBe(simulated);
    expect(watched.errors).toEqual([]);
  });

  it('may be dropped anywhere on the page', async () => {
    const page = await open();
    const data = await page.evaluateHandle(([name, text]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([text as string], name as string, { type: 'application/json' }));
      return transfer;
    }, ['dropped.json', readFileSync(real, 'utf8')]);
    for (const type of ['dragover', 'drop']) await page.dispatchEvent('h1', type, { dataTransfer: data });
    await expect.poll(() => choice(page).inputValue()).toBe('dropped.json');
    expect(page.url()).toBe(served.url);
  });

  it('is one of several: the last is shown, every other can be chosen', async () => {
    const page = await open();
    await choose(page, real, small('small.json'));
    await expect.poll(() => choice(page).inputValue()).toBe('small.json');
    await expect.poll(() => wallTime(page).textContent()).toBe('7 ms');
    expect(await choice(page).locator('option').allTextContents()).toEqual(['the simulated schedule', 'real.json', 'small.json']);
    await choice(page).selectOption('real.json');
    await expect.poll(() => page.locator('.rank[data-rank]').count()).toBe(2);
  });

  it('that is none is refused with file, field and what was expected; the drawing stays', async () => {
    const page = await open();
    await choose(page, small('small.json'));
    await expect.poll(() => wallTime(page).textContent()).toBe('7 ms');
    const refused = async (text: string): Promise<string> => {
      await choose(page, small('good.json')); // takes the last message away
      await expect.poll(() => problem(page).isVisible()).toBe(false);
      await choose(page, file('wrong.json', text));
      await problem(page).waitFor();
      expect(await choice(page).inputValue()).toBe('good.json');
      return await problem(page).textContent() as string;
    };
    expect(await refused('layer 0')).toMatch(/^wrong\.json: is not valid JSON \(.*\); expected a timeline that asyncep wrote with --trace$/);
    expect(await refused('{"a": 1}')).toBe('wrong.json: traceEvents: expected a timeline that asyncep wrote with --trace: a list of events');
    expect(await refused(JSON.stringify({ traceEvents: [{ ph: 'X', name: 'layer 0', cat: 'compute', pid: 0, ts: 1 }] })))
      .toBe('wrong.json: traceEvents[0].dur: expected a number of microseconds');
    expect(await refused(JSON.stringify({ traceEvents: [{ ph: 'M', name: 'thread_name', pid: 0 }] })))
      .toBe('wrong.json: traceEvents: has no bars; expected a timeline that asyncep wrote with --trace, with at least one pass');
    expect(watched.errors).toEqual([]);
  });

  it('is shown by asyncep learn --trace', async () => {
    const server = await openLearnServer({ host: '127.0.0.1', port: 0, page: served.folder, model: `${process.cwd()}/${MODEL}`, trace: real });
    try {
      const page = await open(server.url);
      await expect.poll(() => choice(page).inputValue()).toBe(basename(real));
      expect(watched.errors).toEqual([]);
    } finally {
      await watched.page.close();
      await server.close();
    }
  });

  it('that the address names and nobody has is told of', async () => {
    const page = await open(`${served.url}?trace=traces/none.json`);
    await problem(page).waitFor();
    expect(await problem(page).textContent()).toBe('none.json: cannot be fetched (status 404); expected a file beside this page');
  });
});
