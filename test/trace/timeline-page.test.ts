import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readTimelinePage } from '../../src/node/timeline-page.ts';
import type { Track, TraceEvent } from '../../src/trace/events.ts';
import { type NamedTimeline, pageData, renderPage } from '../../src/trace/page.ts';
import { launchBrowser, type Watched, watchedPage } from './chromium.ts';

const folder = mkdtempSync(join(tmpdir(), 'asyncep-test-'));
let browser: Browser;
beforeAll(async () => {
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

const ORIGIN_US = 5_000_000;
const bar = (rank: number, track: Track, layer: number, fromMs: number, toMs: number, more: TraceEvent['args'] = {}): TraceEvent => ({
  name: `layer ${layer}`, rank, track, startUs: ORIGIN_US + fromMs * 1000, durationUs: (toMs - fromMs) * 1000, args: { layer, pass: 7, ...more },
});

/** 10 ms; compute 7, transfer 8, exposed from 3 to 5 and from 9 to 10. */
const late: NamedTimeline = {
  label: 'asyncep.json', rankNames: new Map([[0, 'rank 0: llvmpipe']]),
  events: [
    bar(0, 'compute', 0, 0, 3), bar(0, 'compute', 1, 5, 9), bar(0, 'receive', 1, 0, 5, { bytes: 1536, peer: 1 }), bar(0, 'receive', 1, 1, 4),
    bar(0, 'receive', 2, 7, 10), bar(0, 'wait', 1, 1, 5), bar(0, 'wait', 2, 9, 10),
  ],
};

/** Two ranks, 4 ms, nothing exposed, on another clock. */
const smooth: NamedTimeline = {
  label: '</script><b>ep', rankNames: new Map(),
  events: [bar(0, 'compute', 0, 100, 104), bar(0, 'send', 1, 101, 102), bar(1, 'compute', 0, 100, 103), bar(1, 'slot', 1, 100, 101, { kind: '<!--' })],
};

async function open(timelines: NamedTimeline[], options: Parameters<Browser['newPage']>[0] = {}): Promise<Watched> {
  const file = join(folder, 'timeline.html');
  writeFileSync(file, renderPage(readTimelinePage(), pageData(timelines)));
  const watched = await watchedPage(browser, { viewport: { width: 1000, height: 800 }, ...options });
  await watched.page.goto(pathToFileURL(file).href);
  await watched.page.waitForSelector('#range[data-painted]');
  return watched;
}

/** The shown stretch, once it is drawn. */
async function rangeOf(page: Page): Promise<{ from: number; to: number; painted: number }> {
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  const [from, to, painted] = await page.locator('#range').evaluate((output) => ['fromUs', 'toUs', 'painted'].map((key) => Number(output.dataset[key])));
  return { from: from as number, to: to as number, painted: painted as number };
}

const rankLines = (page: Page, trace: number, rank: number): Locator => page.locator(`[data-trace="${trace}"] [data-rank="${rank}"]`);

/** Where a moment of a track stands in the window; near the top of its row, in the first lane. */
async function pointOf(page: Page, { trace = 0, rank = 0, track, ms }: { trace?: number; rank?: number; track: Track; ms: number }): Promise<{ x: number; y: number }> {
  const lines = rankLines(page, trace, rank);
  const canvas = await lines.locator('canvas').boundingBox();
  const label = await lines.locator(`[data-track="${track}"]`).boundingBox();
  const { from, to } = await rangeOf(page);
  if (canvas === null || label === null) throw new Error('not on the page');
  return { x: canvas.x + (ms * 1000 - from) / (to - from) * canvas.width, y: label.y + 6 };
}

/** Red, green, blue and opacity that are painted there. */
async function colourAt(page: Page, place: Parameters<typeof pointOf>[1]): Promise<number[]> {
  const { x, y } = await pointOf(page, place);
  return rankLines(page, place.trace ?? 0, place.rank ?? 0).locator('canvas').evaluate((canvas: HTMLCanvasElement, at) => {
    const { left, top } = canvas.getBoundingClientRect();
    return [...(canvas.getContext('2d') as CanvasRenderingContext2D).getImageData(Math.round(at.x - left), Math.round(at.y - top), 1, 1).data];
  }, { x, y });
}

describe('the timeline page', () => {
  it('loads without an error and without a request beside the file itself', async () => {
    const { page, errors, requests } = await open([late, smooth]);
    await page.screenshot({ path: join(folder, 'page.png') });
    expect(errors).toEqual([]);
    expect(requests.filter((url) => !url.startsWith('data:'))).toEqual([page.url()]);
    await page.close();
  });

  it('shows the numbers of each timeline, and of each rank', async () => {
    const { page } = await open([late, smooth]);
    const cells = await page.locator('#summary tbody tr').evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent)));
    expect(cells).toEqual([
      ['asyncep.json', '1', '10.00 ms', '7.00 ms', '8.00 ms', '3.00 ms', '62.5 %'],
      ['</script><b>ep', '2', '4.00 ms', '3.50 ms', '1.00 ms', '0.00 ms', '100.0 %'],
    ]);
    const bars = await page.locator('#ranks [data-key="bars"]').allTextContents();
    expect(bars).toEqual(['2 compute, 3 receive, 2 wait', '1 compute, 1 send', '1 compute, 1 slot']);
    await page.close();
  });

  it('draws bars where they are, in one colour for a layer everywhere, and exposed time in red', async () => {
    const { page } = await open([late, smooth]);
    const layer0 = await colourAt(page, { track: 'compute', ms: 2.5 });
    expect(layer0[3]).toBe(255);
    expect(await colourAt(page, { trace: 1, rank: 1, track: 'compute', ms: 2.5 })).toEqual(layer0);
    expect(await colourAt(page, { track: 'compute', ms: 8.5 })).not.toEqual(layer0);
    expect((await colourAt(page, { trace: 1, track: 'compute', ms: 6 }))[3]).toBe(0); // over at 4 ms, on the same scale
    expect(await colourAt(page, { track: 'wait', ms: 4 })).toEqual([0xd4, 0x14, 0x1c, 255]);
    expect(await colourAt(page, { track: 'wait', ms: 2 })).toEqual([0xb4, 0xba, 0xc0, 255]); // hidden behind compute
    await page.close();
  });

  it('zooms and pans by keys and buttons, and shows all again', async () => {
    const { page } = await open([late, smooth]);
    expect(await rangeOf(page)).toMatchObject({ from: 0, to: 10_000 });
    await page.keyboard.press('+');
    const zoomed = await rangeOf(page);
    expect(zoomed).toMatchObject({ from: 1875, to: 8125 });
    await page.keyboard.press('ArrowRight');
    expect(await rangeOf(page)).toMatchObject({ from: 3125, to: 9375 });
    await page.getByRole('button', { name: 'Earlier' }).click();
    expect(await rangeOf(page)).toMatchObject({ from: 1875, to: 8125 });
    await page.keyboard.press('-');
    await page.keyboard.press('-');
    expect(await rangeOf(page)).toMatchObject({ from: 0, to: 10_000 });
    await page.getByRole('button', { name: 'Zoom in' }).click();
    await page.keyboard.press('0');
    expect(await rangeOf(page)).toMatchObject({ from: 0, to: 10_000 });
    await page.close();
  });

  it('zooms by the wheel about the pointer, and pans by dragging', async () => {
    const { page } = await open([late]);
    const { x, y } = await pointOf(page, { track: 'compute', ms: 2 });
    await page.mouse.move(x, y);
    await page.mouse.wheel(0, -300);
    await expect.poll(async () => (await rangeOf(page)).to - (await rangeOf(page)).from).toBeLessThan(9000);
    const zoomed = await rangeOf(page);
    expect((await pointOf(page, { track: 'compute', ms: 2 })).x).toBeCloseTo(x, 0);
    await page.mouse.down();
    await page.mouse.move(x - 100, y, { steps: 5 });
    await page.mouse.up();
    const dragged = await rangeOf(page);
    expect(dragged.from).toBeGreaterThan(zoomed.from);
    expect(dragged.to - dragged.from).toBeCloseTo(zoomed.to - zoomed.from);
    await page.close();
  });

  it('tells of the bar under the pointer', async () => {
    const { page } = await open([late]);
    const { x, y } = await pointOf(page, { track: 'receive', ms: 0.5 });
    await page.mouse.move(x, y);
    const tooltip = page.getByRole('tooltip');
    expect(await tooltip.innerText()).toMatch(/^layer 1\n/);
    const facts = await tooltip.locator('dt, dd').allTextContents();
    expect(facts).toEqual(['start', '0 µs', 'duration', '5 ms', 'pass', '7', 'layer', '1', 'bytes', '1,536 (1.5 KiB)', 'more', 'peer: 1']);
    const gap = await pointOf(page, { track: 'compute', ms: 4 });
    await page.mouse.move(gap.x, gap.y);
    expect(await tooltip.isVisible()).toBe(false);
    await page.close();
  });

  it('goes from bar to bar by keys, and says aloud what it comes to', async () => {
    const { page } = await open([late]);
    await page.getByRole('application', { name: 'asyncep.json, rank 0: llvmpipe: compute, receive, wait' }).focus();
    await page.keyboard.press('Shift+ArrowRight'); // the bar nearest to the middle
    await page.keyboard.press('Shift+ArrowLeft');
    expect(await page.locator('#announcer').textContent()).toBe('compute: layer 0, start 0 µs, duration 3 ms, pass 7, layer 0');
    await page.keyboard.press('Shift+ArrowDown');
    expect(await page.locator('#announcer').textContent()).toContain('receive: layer 1, start 0 µs');
    expect(await page.getByRole('tooltip').isVisible()).toBe(true);
    await page.keyboard.press('Escape');
    expect(await page.getByRole('tooltip').isVisible()).toBe(false);
    await page.close();
  });

  it('fits a phone, and is dark where the reader is', async () => {
    const { page, errors } = await open([late, smooth], { viewport: { width: 360, height: 640 }, colorScheme: 'dark', hasTouch: true });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
    expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe('rgb(20, 23, 26)');
    expect(await colourAt(page, { track: 'wait', ms: 4 })).toEqual([0xff, 0x4d, 0x4f, 255]);
    const { x, y } = await pointOf(page, { track: 'compute', ms: 6 });
    await page.touchscreen.tap(x, y);
    expect(await page.getByRole('tooltip').innerText()).toMatch(/^layer 1\n/);
    expect(errors).toEqual([]);
    await page.close();
  });

  it('zooms by two fingers', async () => {
    const { page } = await open([late], { hasTouch: true });
    const { x, y } = await pointOf(page, { track: 'compute', ms: 5 });
    const session = await page.context().newCDPSession(page);
    const touch = (type: 'touchStart' | 'touchMove', apart: number) =>
      session.send('Input.dispatchTouchEvent', { type, touchPoints: [{ x: x - apart, y, id: 0 }, { x: x + apart, y, id: 1 }] });
    await touch('touchStart', 50);
    for (const apart of [60, 80, 100]) await touch('touchMove', apart);
    await session.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
    const { from, to } = await rangeOf(page);
    expect((to - from) / 10_000).toBeCloseTo(0.5, 1);
    await page.close();
  });

  it('stays quick with 100,000 bars: it paints no more of them than there are pixels', async () => {
    const many = Array.from({ length: 100_000 }, (_, index) => bar(index % 4, index % 2 === 0 ? 'compute' : 'receive', index % 94, index / 4, index / 4 + 0.2));
    const { page, errors } = await open([{ label: 'long.json', rankNames: new Map(), events: many }]);
    const { painted } = await rangeOf(page);
    expect(painted).toBeGreaterThan(1000);
    expect(painted).toBeLessThanOrEqual(4 * 1000); // 4 ranks with one row each (even ranks compute, odd ones receive)
    const startMs = performance.now();
    for (let press = 0; press < 10; press++) await page.keyboard.press('+');
    expect((await rangeOf(page)).to).toBeLessThan(25_000_000);
    expect(performance.now() - startMs).toBeLessThan(5000);
    expect(errors).toEqual([]);
    await page.close();
  });
});
