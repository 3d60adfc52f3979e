/** The frontend's section in a headless Chromium. */
import axe from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { SCHEDULERS } from '../../src/serving/scheduling.ts';
import { figuresOfPasses } from '../../web/learn/sections/frontend/figures.ts';
import { runFrontend } from '../../web/learn/sections/frontend/model.ts';
import { FIRST_FRONTEND_SETTINGS, REQUESTS, type FrontendSettings } from '../../web/learn/sections/frontend/scene.ts';
import { isSpill, sentenceOf } from '../../web/learn/sections/frontend/sentences.ts';
import { launchBrowser, type Watched, watchedPage } from '../trace/chromium.ts';
import { servePage, type ServedPage } from './served-page.ts';

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

async function open(options: Parameters<Browser['newPage']>[0] = {}): Promise<Page> {
  watched = await watchedPage(browser, { viewport: { width: 1200, height: 900 }, ...options });
  await watched.page.goto(served.url);
  await watched.page.locator('#frontend .engine').first().waitFor();
  return watched.page;
}

const said = (page: Page): Promise<string | null> => page.locator('#frontend .said li').first().textContent();
const figure = (page: Page, key: string): Promise<string | null> => page.locator(`#frontend [data-figure="${key}"]`).textContent();
const button = (page: Page, name: string) => page.locator('#frontend').getByRole('button', { name, exact: true });
const positionOf = (page: Page): Promise<number> => page.getByLabel('Moment of the run').evaluate((input: HTMLInputElement) => Number(input.value));

/** What the model says of each scheduler, as the table has it. */
function expectedTable(patch: Partial<FrontendSettings> = {}): string[][] {
  return SCHEDULERS.map((scheduler) => {
    const { passes, settings: { engines }, scene: { threshold } } = runFrontend({ ...FIRST_FRONTEND_SETTINGS, ...patch, scheduler });
    const { hitRate, savedShare, belowThreshold, batches, exposedShare, balance, wallMs } = figuresOfPasses(passes, engines, threshold) as NonNullable<ReturnType<typeof figuresOfPasses>>;
    const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
    return [percent(hitRate), percent(savedShare), `${belowThreshold} of ${batches}`, percent(exposedShare), balance.toFixed(2), `${wallMs.toFixed(0)} ms`];
  });
}
const tableOf = (page: Page): Promise<string[][]> => page.locator('#frontend tbody tr').evaluateAll((rows) => rows.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent ?? '')));

describe('the frontend section', () => {
  it('begins where a prefix spills over, and says so', async () => {
    const page = await open();
    const run = runFrontend(FIRST_FRONTEND_SETTINGS);
    const spill = run.moments.find((moment) => isSpill(run, moment));
    expect(await said(page)).toBe(sentenceOf(run, spill as NonNullable<typeof spill>));
    expect(await page.locator('#frontend .lines .goes').count()).toBe(1);
    expect(await page.locator('#frontend .lines .wanted').count()).toBe(1);
    expect(watched.errors).toEqual([]);
  });

  it('steps request by request from the start, and back; the words are told to who does not see', async () => {
    const page = await open();
    await button(page, 'From the start').click();
    expect(await said(page)).toBe('Nothing has come yet. Press Play, or Step for one request.');
    expect(await figure(page, 'hit-rate')).toBe('–');
    const step = button(page, 'Step');
    await step.click();
    const first = 'no engine knows its prefix, so it goes to engine 0, which has the smallest load.';
    expect(await said(page)).toContain(first);
    expect(await page.locator('#frontend [aria-live]').textContent()).toContain(first);
    expect(await page.locator('[data-engine="0"] .layer').count()).toBe(1);
    for (let i = 0; i < 3; i++) await step.click();
    expect(await page.locator('#frontend .layer').count()).toBe(4);
    await button(page, 'Back').click();
    expect(await page.locator('#frontend .layer').count()).toBe(3);
  });

  it('plays to the end, silent for screen readers, and pauses there with everything answered', async () => {
    const page = await open();
    const scrubber = page.getByLabel('Moment of the run');
    await scrubber.fill(String(0.9 * Number(await scrubber.getAttribute('max'))));
    await page.locator('#frontend').getByLabel('Speed').selectOption('8');
    await button(page, 'Play').click();
    await button(page, 'Pause').waitFor();
    expect(await page.locator('#frontend [aria-live]').textContent()).toBe('');
    await expect.poll(() => figure(page, 'answered'), { timeout: 60_000, interval: 200 }).toBe(`${REQUESTS} of ${REQUESTS}`);
    await button(page, 'Play').waitFor();
    const [prefix] = expectedTable();
    expect(await Promise.all(['hit-rate', 'saved', 'below', 'exposed', 'balance'].map((key) => figure(page, key)))).toEqual(prefix?.slice(0, 5));
    expect(watched.errors).toEqual([]);
  }, 90_000);

  it('has the figures of every scheduler for the same requests, and draws the one that is chosen at the same point', async () => {
    const page = await open();
    expect(await tableOf(page)).toEqual(expectedTable());
    const arrived = await page.getByLabel('Moment of the run').getAttribute('aria-valuetext');
    await page.getByRole('radio', { name: 'least loaded' }).check();
    expect(await page.locator('#frontend tr[aria-current]').getAttribute('data-scheduler')).toBe('least-loaded');
    expect((await page.getByLabel('Moment of the run').getAttribute('aria-valuetext'))?.split(' ')[0]).toBe(arrived?.split(' ')[0]);
    expect(await said(page)).toMatch(/joins the queue of engine \d, which has the fewest requests/);
    expect(await page.locator('#frontend .pile i').count()).toBeGreaterThan(0);
  });

  it('follows its sliders, and the margin of the whole page', async () => {
    const page = await open();
    for (const [name, value] of [['engines', 3], ['prefixes', 4], ['thresholdRequests', 2], ['cacheBlocks', 80]] as const) {
      await page.locator(`#frontend-${name}`).fill(String(value));
    }
    expect(await page.locator('#frontend .engine').count()).toBe(3);
    expect(await tableOf(page)).toEqual(expectedTable({ engines: 3, prefixes: 4, thresholdRequests: 2, cacheBlocks: 80 }));
    await page.locator('#slider-gamma').fill('20'); // the last position: 2
    expect(await tableOf(page)).toEqual(expectedTable({ engines: 3, prefixes: 4, thresholdRequests: 2, cacheBlocks: 80, gamma: 2 }));
  });

  it('is used by keys alone: arrows step and space plays on the drawing, sliders and choice as everywhere', async () => {
    const page = await open();
    const before = await positionOf(page);
    await page.locator('#frontend .stage').focus();
    await page.keyboard.press('ArrowRight');
    const after = await positionOf(page);
    expect(after).toBeGreaterThan(before);
    await page.keyboard.press('ArrowLeft');
    expect(await positionOf(page)).toBe(before);
    await page.keyboard.press(' ');
    await button(page, 'Pause').waitFor();
    await page.keyboard.press(' ');
    await button(page, 'Play').waitFor();
    await page.getByRole('radio', { name: 'prefix', exact: true }).focus();
    await page.keyboard.press('ArrowRight');
    expect(await page.getByRole('radio', { name: 'grouped' }).isChecked()).toBe(true);
    await page.locator('#frontend-engines').focus();
    await page.keyboard.press('ArrowRight');
    expect(await page.locator('#frontend .engine').count()).toBe(5);
  });

  it('draws the line T where the layers of a full batch end, to the height of the last request', async () => {
    const page = await open();
    const engine = page.locator('#frontend .engine.saturated').first();
    const [line, top, below] = await engine.evaluate((card) => {
      const layers = [...card.querySelectorAll('.layers')[0]?.querySelectorAll('.layer') ?? []].map((layer) => layer.getBoundingClientRect());
      return [card.querySelector('.line-t')?.getBoundingClientRect().top, layers.at(-1)?.top, layers.at(-1)?.bottom] as number[];
    }) as [number, number, number];
    expect(top).toBeLessThan(line + 2);
    expect(below).toBeGreaterThan(line - 2);
  });

  it('has nothing for axe to find, in light and dark, and on a narrow screen nothing wider than it', async () => {
    const page = await open();
    await page.evaluate(axe.source);
    for (const [colorScheme, width] of [['light', 1200], ['dark', 1200], ['light', 360]] as const) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      const violations = await page.evaluate(async () => {
        const { violations } = await (globalThis as unknown as { axe: typeof axe }).axe.run('#frontend');
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(' | ')}`);
      });
      expect([colorScheme, width, violations]).toEqual([colorScheme, width, []]);
      expect(await page.locator('#frontend').evaluate((section) => section.scrollWidth - section.clientWidth)).toBe(0);
    }
  }, 90_000);
});
