/** The teaching page as a whole. With `LEARN_SCREENSHOT=docs/learn.png` the picture of the README is written anew. */
import { readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { writeTrace } from '../../src/trace/chrome-trace.ts';
import { scratch } from '../cli/run.ts';
import { launchBrowser, type Watched, watchedPage } from '../trace/chromium.ts';
import { violationsOf } from './axe.ts';
import { servePage, type ServedPage } from './served-page.ts';

const { folder, file } = scratch();
let served: ServedPage;
let browser: Browser;
let watched: Watched;
beforeAll(async () => {
  [served, browser] = await Promise.all([servePage(), launchBrowser()]);
});
afterAll(async () => {
  await browser?.close();
  await served?.close();
});
afterEach(() => watched?.page.close());

async function open(options: Parameters<Browser['newPage']>[0] = {}, hash = ''): Promise<Page> {
  watched = await watchedPage(browser, { viewport: { width: 1200, height: 800 }, reducedMotion: 'reduce', ...options });
  await watched.page.goto(served.url + hash);
  await watched.page.locator('#tour-start').waitFor();
  return watched.page;
}

/** Puts the page into the states in which it has more on it. */
const STATES: Readonly<Record<string, (page: Page) => Promise<void>>> = {
  'as it comes': async () => {},
  'with a short batch and the tour open': async (page) => {
    await page.evaluate(() => { location.hash = '#tour-7'; });
    await page.locator('#tour-panel').waitFor();
    await page.locator('#tour-panel summary').click();
  },
  'with a real run': async (page) => {
    const bar = { name: 'layer 0', rank: 0, track: 'compute', startUs: 5000, durationUs: 7000, args: { layer: 0, pass: 0 } } as const;
    await page.setInputFiles('#trace-file', file(`${'a long name of a file '.repeat(4)}.json`, JSON.stringify(writeTrace([bar, { ...bar, track: 'wait', startUs: 12_000 }]))));
    await page.locator('#shown-run').waitFor();
  },
  'with a file that is none': async (page) => {
    await page.setInputFiles('#trace-file', file('wrong.json', '{}'));
    await page.locator('#trace-problem').waitFor();
  },
};

it.each([['light', 1200], ['dark', 390]] as const)('axe-core finds no violation, %s, in a window of %i pixels', async (colorScheme, width) => {
  const page = await open({ colorScheme, viewport: { width, height: 800 } });
  for (const [name, bring] of Object.entries(STATES)) {
    await bring(page);
    await page.locator('#comparison[aria-busy="false"]').waitFor({ timeout: 30_000 }); // pale while it is computed
    expect(await violationsOf(page), name).toEqual([]);
  }
}, 120_000);

it.each([320, 390, 768])('nothing hangs over the edge of a window of %i pixels', async (width) => {
  const page = await open({ viewport: { width, height: 780 } });
  for (const [name, bring] of Object.entries(STATES)) {
    await bring(page);
    expect(await page.evaluate(() => document.documentElement.scrollWidth), name).toBe(width);
  }
});

describe('requests', () => {
  it('go to the page’s own server alone, and none fails', async () => {
    const page = await open();
    for (const bring of Object.values(STATES)) await bring(page);
    await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
    expect([...new Set(watched.requests.map((url) => new URL(url).origin))]).toEqual([served.origin]);
    expect(watched.errors).toEqual([]);
  });

  it('to anywhere else are refused by the page itself', async () => {
    let asked = 0;
    const other = createServer((_, response) => { asked++; response.setHeader('access-control-allow-origin', '*').end('{}'); });
    onTestFinished(() => void other.close());
    await new Promise<void>((resolve) => void other.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}/`;
    const page = await open();
    const refused = await page.evaluate(async (address) => {
      const image = new Image();
      image.src = address;
      return [await fetch(address).then(() => 'answered', () => 'refused'), await image.decode().then(() => 'shown', () => 'refused')];
    }, url);
    expect(refused).toEqual(['refused', 'refused']);
    expect(asked).toBe(0);
  });

  it('bring a page that is light: the engine and the reader of traces come when they are used', async () => {
    await open();
    const isLate = (name: string): boolean => /\b(engine|read-trace)-[\w-]+\.js$/.test(name);
    expect(readdirSync(join(served.folder, 'assets')).filter(isLate)).toHaveLength(2);
    expect(watched.requests.filter(isLate)).toEqual([]);
    expect(watched.requests.some((url) => url.includes('spam-mail'))).toBe(false);
  });
});

/** Around the picture, pixels. */
const MARGIN = 16;

it('the picture of the README shows a batch below the threshold, in red', async () => {
  const page = await open({ viewport: { width: 1280, height: 1400 }, colorScheme: 'light', deviceScaleFactor: 1 });
  await page.getByRole('button', { name: 'Short batch' }).click();
  await expect.poll(async () => Number.parseFloat(await page.locator('#exposed-ms').textContent() as string)).toBeGreaterThan(0);
  await page.locator('#schedule .scrubber').fill('430');
  const { x, y, width, height } = await page.locator('#schedule').evaluate((section) => section.getBoundingClientRect());
  const clip = { x: x - MARGIN, y: y + (await page.evaluate(() => window.scrollY)) - MARGIN, width: width + 2 * MARGIN, height: height + 2 * MARGIN };
  await page.screenshot({ path: process.env['LEARN_SCREENSHOT'] ?? `${folder}/learn.png`, clip, fullPage: true, animations: 'disabled' });
  const red = await page.locator('.rank[data-rank="0"] canvas').evaluate((canvas: HTMLCanvasElement) => {
    const { data } = (canvas.getContext('2d') as CanvasRenderingContext2D).getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) if (data[i] === 0xd4 && data[i + 1] === 0x14 && data[i + 2] === 0x1c) count++;
    return count / (data.length / 4);
  });
  expect(red).toBeGreaterThan(0.02);
});
