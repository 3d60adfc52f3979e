/** The guided tour in a browser. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser, type Watched, watchedPage } from '../trace/chromium.ts';
import { servePage, type ServedPage } from './served-page.ts';

const STEPS = 10;
let served: ServedPage;
let browser: Browser;
let watched: Watched;
beforeAll(async () => {
  served = await servePage();
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser?.close();
  await served?.close();
});
afterEach(() => watched.page.close());

/** @param hash of the address */
async function open(hash = ''): Promise<Page> {
  watched = await watchedPage(browser, { viewport: { width: 1200, height: 800 }, reducedMotion: 'reduce' });
  await watched.page.goto(served.url + hash);
  await watched.page.locator('#tour-start').waitFor();
  return watched.page;
}

/** Until the panel shows a step, from 1. */
const isAt = (page: Page, step: number): Promise<void> => page.getByText(`Step ${step} of ${STEPS}`, { exact: true }).waitFor();
const exposed = (page: Page): Promise<string | null> => page.locator('#exposed-ms').textContent();

/** Presses Tab until the focus is on what `selector` says; gives up after a while. */
async function tabTo(page: Page, selector: string): Promise<void> {
  for (let presses = 0; presses < 40; presses++) {
    if (await page.evaluate((one) => document.activeElement?.matches(one) === true, selector)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`Tab does not lead to ${selector}`);
}

interface Sight {
  readonly marked: number;
  readonly top: number;
  /** Upper edge of the panel. */
  readonly edge: number;
}

/** Where the marked part is. */
const sight = (page: Page): Promise<Sight> => page.evaluate(() => {
  const marked = [...document.querySelectorAll('[data-toured]')];
  const box = (element: Element | null | undefined): DOMRect => (element as Element).getBoundingClientRect();
  return { marked: marked.length, top: box(marked[0]).top, edge: box(document.querySelector('#tour-panel')).top };
});

describe('the tour', () => {
  it('is gone through by the keyboard alone: every step is read out, marks a part that is in sight, and has an address', async () => {
    const page = await open();
    await tabTo(page, '#tour-start');
    await page.keyboard.press('Enter');
    for (let step = 1; step <= STEPS; step++) {
      await isAt(page, step);
      await expect.poll(() => page.evaluate(() => document.activeElement?.matches('#tour-panel h3'))).toBe(true);
      await expect.poll(async () => (await sight(page)).marked).toBe(1);
      const { top, edge } = await sight(page);
      expect(top).toBeGreaterThanOrEqual(0);
      expect(top).toBeLessThan(edge - 20);
      expect(new URL(page.url()).hash).toBe(`#tour-${step}`);
      await page.keyboard.press('ArrowRight');
    }
    await isAt(page, STEPS); // there is none behind the last
    await page.keyboard.press('Escape');
    await page.locator('#tour-panel').waitFor({ state: 'detached' });
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('run');
    expect(new URL(page.url()).hash).toBe('');
    expect(await page.locator('[data-toured]').count()).toBe(0);
    expect(watched.errors).toEqual([]);
  });

  it('asks a question in each step, whose answer unfolds by the keyboard, in two to four sentences beside it', async () => {
    const page = await open('#tour-1');
    for (let step = 1; step <= STEPS; step++) {
      await isAt(page, step);
      expect(await page.locator('#tour-panel summary').textContent()).toMatch(/\?$/);
      const answer = page.locator('#tour-panel details p');
      expect(await answer.isVisible()).toBe(false);
      await tabTo(page, '#tour-panel summary');
      await page.keyboard.press('Enter');
      await answer.waitFor();
      const text = await page.locator('#tour-panel .words p:not([aria-live]):not(.buttons)').textContent() as string;
      const sentences = text.trim().match(/[.?!](\s|$)/g)?.length;
      expect(sentences, text).toBeGreaterThanOrEqual(2);
      expect(sentences, text).toBeLessThanOrEqual(4);
      await page.keyboard.press('ArrowRight');
    }
  });

  it('keeps nobody in its panel: Tab leads out of it, and Escape elsewhere on the page leaves it open', async () => {
    const page = await open('#tour-2');
    await isAt(page, 2);
    await tabTo(page, 'body *:not(#tour-panel *)');
    await page.keyboard.press('Escape');
    await isAt(page, 2);
  });

  it('opens at the step of the address, and at the one of a link that is followed', async () => {
    const page = await open('#tour-4');
    await isAt(page, 4);
    await page.locator('#tour ol a').nth(5).click();
    await isAt(page, 6);
    expect(await page.locator('#tour ol [aria-current="step"]').textContent()).toBe('Two slots');
    await page.goto('about:blank');
    await page.goto(`${served.url}#tour-6`); // from the first moment, before anything is drawn
    await isAt(page, 6);
    await expect.poll(() => page.locator('#schedule .scrubber').inputValue().then(Number)).toBeCloseTo(400, -1);
    await page.evaluate(() => { location.hash = '#tour-99'; });
    await isAt(page, 6);
  });

  it('shows a short batch in red, and a long one without', async () => {
    const page = await open('#tour-7');
    await isAt(page, 7);
    expect(Number.parseFloat(await exposed(page) as string)).toBeGreaterThan(0);
    expect(await page.locator('#tour-panel .words').textContent()).toContain('So the device stands still for');
    await page.getByRole('button', { name: 'A long batch' }).click();
    await expect.poll(() => exposed(page)).toBe('0 ms');
    expect(await page.locator('#tour-panel .words').textContent()).toContain('So every gather is done in time, and nobody notices it.');
    await page.getByRole('button', { name: 'A short batch' }).click();
    await expect.poll(() => exposed(page)).not.toBe('0 ms');
  });

  it('leaves the reader’s own machine and sliders alone, goes on after them, and is taken up where it was left', async () => {
    const page = await open();
    await page.locator('#slider-linkBytesPerSecond').fill('20');
    const link = await page.locator('output[for="slider-linkBytesPerSecond"]').textContent();
    await page.click('#tour-start');
    for (let step = 1; step < 8; step++) await page.click('#tour-panel .next');
    await isAt(page, 8);
    expect(await page.locator('output[for="slider-linkBytesPerSecond"]').textContent()).toBe(link);
    await page.locator('#slider-gamma').fill('0');
    await isAt(page, 8);
    await page.getByRole('button', { name: 'End the tour' }).click();
    expect(await page.locator('output[for="slider-gamma"]').textContent()).toBe('1.00');
    await page.getByRole('button', { name: 'Go on at step 8' }).click();
    await isAt(page, 8);
  });
});
