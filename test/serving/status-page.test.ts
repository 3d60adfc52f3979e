/** The page at `/` in a browser, before a service of known numbers. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser, type Watched, watchedPage } from '../trace/chromium.ts';
import { engine, event, type FakeServer, info, pass, serveStatus, snapshot } from './status/fakes.ts';

let browser: Browser;
beforeAll(async () => {
  browser = await launchBrowser();
});
afterAll(() => browser?.close());

let server: FakeServer;
let watched: Watched | undefined;
afterEach(async () => {
  await watched?.page.close();
  watched = undefined;
  await server.close();
});

/** Opens the page and waits for its first numbers. */
async function open(options: Parameters<Browser['newPage']>[0] = {}): Promise<Watched> {
  watched = await watchedPage(browser, { viewport: { width: 1100, height: 900 }, ...options });
  await watched.page.goto(server.url);
  return watched;
}
const shown = (page: Page): Promise<unknown> => page.waitForSelector('#lanes[data-painted]');
const textOf = (page: Page, key: string): Promise<string | null> => page.locator(`[data-key="${key}"]`).textContent();
async function eventually(page: Page, key: string, text: string): Promise<void> {
  await expect.poll(() => textOf(page, key), { timeout: 10_000 }).toBe(text);
}
const card = (page: Page, rank: number) => page.locator(`[data-rank-card="${rank}"]`);
const factsOf = async (page: Page, rank: number): Promise<Record<string, string>> => {
  const [names, values] = await Promise.all([card(page, rank).locator('dt').allTextContents(), card(page, rank).locator('dd').allTextContents()]);
  return Object.fromEntries(names.map((name, index) => [name, values[index] as string]));
};
/** Colour of a canvas at a moment of a track. */
async function colourAt(page: Page, rank: number, track: string, ms: number, totalMs: number): Promise<number[]> {
  const lines = page.locator(`[data-rank="${rank}"]`);
  const top = await lines.locator(`[data-track="${track}"]`).evaluate((label: HTMLElement) => label.getBoundingClientRect().top);
  return lines.locator('canvas').evaluate((canvas: HTMLCanvasElement, at) => {
    const box = canvas.getBoundingClientRect();
    return [...(canvas.getContext('2d') as CanvasRenderingContext2D).getImageData(Math.round(at.share * box.width), Math.round(at.top - box.top + 6), 1, 1).data];
  }, { share: ms / totalMs, top });
}

/** What a browser writes about an answer that is no success; no page can avoid it. */
const ofThePage = (errors: readonly string[]): string[] => errors.filter((text) => !text.startsWith('Failed to load resource'));

describe('the status page', () => {
  it('shows the numbers of the service, and makes no request elsewhere', async () => {
    server = await serveStatus(snapshot());
    const { page, errors, requests } = await open();
    await shown(page);
    expect(await textOf(page, 'model')).toBe('tiny-moe');
    expect(await textOf(page, 'shape')).toBe('4 layers, 4 of them MoE with 8 experts, 2 a token; prompts of at most 4,096 tokens');
    expect(await textOf(page, 'uptime')).toMatch(/^1 h 2 min \d+ s$/);
    const texts = { state: 'ready', ranks: '2 of 2 ready', scheduler: 'prefix', threshold: '2 GFLOP', arithmetic: 'T = 4 MoE layers x 50 ms x 10 GFLOP/s (peak) x 1 = 2 GFLOP',
      waiting: '7', 'under-way': '8', fill: '1.00 T', exposed: '10.0 %', mfu: '50.0 %', answered: '100', failed: '2', rejected: '3', cancelled: '1', retried: '4', latency: '–', 'hit-rate': '–' };
    for (const [key, text] of Object.entries(texts)) expect([key, await textOf(page, key)]).toEqual([key, text]);
    expect(await card(page, 1).locator('h3').textContent()).toBe('rank 1: swiftshader (software)ready');
    expect(await factsOf(page, 0)).toEqual({
      pid: '4000', restarts: '0', 'batches under way': '1', passes: '2', 'below T': '1', 'hit rate': '25.0 %', exposed: '10.0 %', MFU: '50.0 %', cache: '12 of 1,024 blocks',
    });
    expect(errors).toEqual([]);
    expect(new Set(requests.filter((url) => !url.startsWith('data:')).map((url) => new URL(url).origin))).toEqual(new Set([new URL(server.url).origin]));
  });

  it('draws loads against T: the mark of T is where the bar of T would end', async () => {
    server = await serveStatus(snapshot()); // 0.5 T and 1.25 T
    const { page } = await open();
    await shown(page);
    const boxes = async (rank: number) => Promise.all(['.load', '.filled', '.mark'].map(async (part) => card(page, rank).locator(part).boundingBox()));
    for (const [rank, load] of [[0, 0.5], [1, 1.25]] as const) {
      const [whole, filled, mark] = await boxes(rank);
      const atT = (mark?.x ?? 0) - (whole?.x ?? 0);
      expect((filled?.width ?? 0) / atT).toBeCloseTo(load, 1);
    }
    expect(await card(page, 1).getByRole('meter', { name: 'load of rank 1' }).getAttribute('aria-valuetext')).toBe('2.5 GFLOP in 3 requests, 1.25 T');
    const [low, high] = await page.locator('#fills i').evaluateAll((bars) => bars.map((bar) => bar.getBoundingClientRect().height));
    expect((high ?? 0) / (low ?? 1)).toBeCloseTo(3, 1); // fills of 0.5 and 1.5
    await page.getByText('As a table').click();
    expect(await page.locator('#passes tbody tr').first().locator('th, td').allTextContents()).toEqual(['rank 1', '4', '200', '25.0 %', '1.50 T', '400 ms', '40 ms']);
  });

  it('follows changes by itself: numbers, rates, passes, the timeline', async () => {
    server = await serveStatus(snapshot());
    const { page, errors } = await open();
    await shown(page);
    expect(await page.locator('#connection').textContent()).toBe('live');
    for (let i = 0; i < 10; i++) server.tell((observer) => observer.answered?.({ tokens: new Uint32Array(60), candidates: [] }, { logits: new Float32Array(), scores: null, cachedTokens: 15, engine: 0, queuedMs: 20, computeMs: 100 }));
    server.set(snapshot({ waiting: 0, passes: [pass(0, 5e9, 3000)], trace: [event(0, 'compute', 0, 0, 20)] }));
    await eventually(page, 'waiting', '0');
    expect(await textOf(page, 'hit-rate')).toBe('25.0 %');
    expect(await textOf(page, 'latency')).toBe('120 ms / 120 ms / 120 ms');
    expect(await page.locator('#fills i').count()).toBe(1);
    expect(await page.locator('#lanes canvas').count()).toBe(1);
    expect(await page.locator('#lanes h3').textContent()).toBe('rank 0: llvmpipe: compute 20.00 ms, exposed 0.00 ms');
    expect(errors).toEqual([]);
  });

  it('draws the timeline of the last passes, exposed time red, and tells of the bar under the pointer', async () => {
    server = await serveStatus(snapshot());
    const { page } = await open();
    await shown(page);
    expect(await page.getByRole('img', { name: 'rank 0: llvmpipe: compute, receive, wait; compute 7.00 ms, exposed 2.00 ms, overlap efficiency 60.0 %' }).count()).toBe(1);
    expect(await colourAt(page, 0, 'wait', 4, 10)).toEqual([0xd4, 0x14, 0x1c, 255]);
    expect(await colourAt(page, 0, 'wait', 2, 10)).toEqual([0xb4, 0xba, 0xc0, 255]);
    const layer0 = await colourAt(page, 0, 'compute', 2, 10);
    expect(layer0).toEqual(await colourAt(page, 1, 'compute', 9, 10));
    await page.locator('[data-rank="1"] canvas').scrollIntoViewIfNeeded();
    const canvas = await page.locator('[data-rank="1"] canvas').boundingBox();
    await page.mouse.move((canvas?.x ?? 0) + 20, (canvas?.y ?? 0) + 8);
    expect(await page.getByRole('tooltip').innerText()).toMatch(/^layer 0\n/);
  });

  it('holds the timeline while its reader looks at it', async () => {
    server = await serveStatus(snapshot());
    const { page } = await open();
    await shown(page);
    await page.getByRole('button', { name: 'Hold' }).press('Enter');
    server.set(snapshot({ waiting: 1, trace: [event(0, 'compute', 0, 0, 20)] }));
    await eventually(page, 'waiting', '1');
    expect(await page.locator('#lanes canvas').count()).toBe(2);
    await page.getByRole('button', { name: 'Hold' }).click();
    expect(await page.locator('#lanes canvas').count()).toBe(1);
  });

  it('says at once that a rank is lost, and that it is back', async () => {
    server = await serveStatus(snapshot());
    const { page } = await open();
    await shown(page);
    const alert = page.locator('#alert');
    expect(await alert.isVisible()).toBe(false);
    const lost = info(1, { state: 'lost' });
    server.set(snapshot({ engines: [engine(0), engine(1, lost)] }));
    server.tell((observer) => observer.engine?.(lost));
    await expect.poll(() => alert.textContent()).toBe('Rank 1 is lost.');
    expect([await alert.isVisible(), await textOf(page, 'state'), await textOf(page, 'ranks'), await card(page, 1).locator('strong').textContent()]).toEqual([true, 'degraded', '1 of 2 ready', 'lost']);
    server.set(snapshot({ engines: [engine(0), engine(1, { restarts: 1, pid: 5001 })] }));
    server.tell((observer) => observer.engine?.(info(1)));
    await expect.poll(() => alert.isVisible()).toBe(false);
    expect(await factsOf(page, 1)).toMatchObject({ restarts: '1', pid: '5001' });
  });

  it('says that the server is gone, and goes on by itself when it is back', async () => {
    server = await serveStatus(snapshot());
    const { page, errors } = await open();
    await shown(page);
    const port = Number(new URL(server.url).port);
    await server.close();
    await expect.poll(() => page.locator('#alert').textContent(), { timeout: 10_000 }).toBe('The server does not answer. Trying again; the numbers below are the last ones.');
    expect(await page.locator('#connection').textContent()).toBe('not connected');
    server = await serveStatus(snapshot({ waiting: 42 }), { port });
    await expect.poll(() => textOf(page, 'waiting'), { timeout: 20_000 }).toBe('42');
    expect(await page.locator('#alert').isVisible()).toBe(false);
    expect(ofThePage(errors)).toEqual([]);
  });

  it('asks again and again where events do not come through', async () => {
    server = await serveStatus(snapshot(), {
      extend: (app) => void app.addHook('onRequest', async (request, reply) => {
        if (request.url === '/status/events') await reply.type('text/event-stream').send('');
      }),
    });
    const { page, errors } = await open();
    await shown(page);
    expect(await page.locator('#connection').textContent()).toBe('live, asked every 2 s');
    server.set(snapshot({ waiting: 5, trace: [event(0, 'compute', 0, 0, 20)] }));
    await eventually(page, 'waiting', '5');
    await expect.poll(() => page.locator('#lanes canvas').count()).toBe(1);
    expect(errors).toEqual([]);
  });

  it('asks for the key, once a session', async () => {
    server = await serveStatus(snapshot(), { apiKey: 'secret' });
    const { page, errors } = await open();
    const key = page.getByLabel('Key of the server');
    await key.fill('guess');
    await key.press('Enter');
    await expect.poll(() => page.locator('#key-wrong').textContent()).toBe('That was not the key of this server.');
    expect(await page.locator('#content').isVisible()).toBe(false);
    await key.fill('secret');
    await page.getByRole('button', { name: 'Show' }).click();
    await shown(page);
    expect([await textOf(page, 'waiting'), await key.isVisible(), await page.locator('#alert').isVisible()]).toEqual(['7', false, false]);
    await page.reload();
    await shown(page);
    expect(ofThePage(errors)).toEqual([]);
  });

  it('fits a phone, and is dark where its reader is', async () => {
    server = await serveStatus(snapshot());
    const { page, errors } = await open({ viewport: { width: 360, height: 640 }, colorScheme: 'dark' });
    await shown(page);
    await page.getByText('As a table').click();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
    expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe('rgb(20, 23, 26)');
    expect(await colourAt(page, 0, 'wait', 4, 10)).toEqual([0xff, 0x4d, 0x4f, 255]);
    expect(errors).toEqual([]);
  });

  it('can be gone through by keys, and everything has a name', async () => {
    server = await serveStatus(snapshot());
    const { page } = await open();
    await shown(page);
    const stops: string[] = [];
    for (let press = 0; press < 6; press++) {
      await page.keyboard.press('Tab');
      stops.push(await page.evaluate(() => document.activeElement?.textContent ?? ''));
    }
    expect(stops).toEqual(['As a table', 'Hold', 'API', 'metrics', 'these numbers as JSON', expect.any(String)]);
    const unnamed = await page.locator('button, input, [role="img"], [role="meter"], [role="region"]').evaluateAll((all) => all
      .filter((one) => [one.getAttribute('aria-label'), one.textContent, (one as HTMLInputElement).labels?.[0]?.textContent].every((name) => (name ?? '').trim() === '')).map((one) => one.outerHTML));
    expect(unnamed).toEqual([]);
  });
});
