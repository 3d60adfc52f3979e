/** Schedule, threshold, baselines and formulas in a browser, against the simulator that the test asks itself. */
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { gatherMs, predictRun, saturationThreshold } from '../../src/sim/cost.ts';
import { traceOf } from '../../src/sim/trace.ts';
import { writeTrace } from '../../src/trace/chrome-trace.ts';
import type { TraceEvent } from '../../src/trace/events.ts';
import { summarizeTrace } from '../../src/trace/summary.ts';
import { comparedShape } from '../../web/learn/comparison.ts';
import { bytesText, flopsText, msText } from '../../web/learn/numbers.ts';
import { eventsUntil, shapeOf } from '../../web/learn/scenario.ts';
import { FIRST_SETTINGS, positionOf, RANGES, type SettingName, type Settings } from '../../web/learn/settings.ts';
import { launchBrowser, type Watched, watchedPage } from '../trace/chromium.ts';
import { servePage, type ServedPage } from './served-page.ts';

let served: ServedPage;
let browser: Browser;
let watched: Watched;
let page: Page;
beforeAll(async () => {
  served = await servePage();
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser?.close();
  await served?.close();
});
/** Nothing on this page may complain, or ask another origin for anything. */
afterEach(async () => {
  await page.close();
  const foreign = watched.requests.filter((url) => new URL(url).origin !== served.origin);
  if (watched.errors.length + foreign.length > 0) throw new Error([...watched.errors, ...foreign].join('\n'));
});

async function open(width = 1250): Promise<void> {
  watched = await watchedPage(browser, { viewport: { width, height: 900 } });
  ({ page } = watched);
  await page.goto(served.url);
  await page.locator('#drawing canvas[role="img"]').first().waitFor();
}

const textOf = (selector: string): Promise<string | null> => page.locator(selector).textContent();
/** Until an element says it. */
async function says(selector: string, text: string): Promise<void> {
  await expect.poll(() => textOf(selector), { timeout: 10_000 }).toBe(text);
}

/** Moves a slider of the scenario to one of its values. */
const slide = (name: SettingName, value: number): Promise<void> => page.locator(`#slider-${name}`).fill(String(positionOf(RANGES[name], value)));

async function press(locator: Locator, ...keys: readonly string[]): Promise<void> {
  await locator.focus();
  for (const key of keys) await locator.press(key);
}

/** What the simulator says of asyncep. */
function predicted(patch: Partial<Settings>): { readonly wallMs: number; readonly exposedMs: number; readonly transferMs: number; readonly threshold: number } {
  const settings = { ...FIRST_SETTINGS, ...patch };
  const shape = shapeOf(settings, 'asyncep');
  const { wallMs, schedule } = predictRun(shape);
  const transferMs = gatherMs(shape);
  return {
    wallMs, transferMs, exposedMs: summarizeTrace(eventsUntil(traceOf(schedule), wallMs)).mean.exposedMs,
    threshold: saturationThreshold(1, transferMs, settings.flopsPerSecond, settings.gamma),
  };
}

async function shows(patch: Partial<Settings>): Promise<void> {
  const { wallMs, exposedMs, threshold } = predicted(patch);
  await says('#wall-ms', msText(wallMs));
  await says('#exposed-ms', msText(exposedMs));
  await says('#threshold-flops', flopsText(threshold));
}

/** Milliseconds of the playhead. */
const now = (): Promise<number> => page.locator('#clock').evaluate((clock) => Number(clock.dataset['ms']));
/** Where the playhead is drawn, as a share of the lanes. */
const drawnAt = (): Promise<number> => page.locator('[data-rank="0"] .lanes').evaluate((lanes) => {
  const [box, head] = [lanes.getBoundingClientRect(), (lanes.querySelector('.playhead') as Element).getBoundingClientRect()];
  return (head.left + head.width / 2 - box.left) / box.width;
});

describe('the sliders', () => {
  it('begin with a batch that hides its gathers, and show what the simulator says of every other', async () => {
    await open();
    await shows({});
    expect(predicted({}).exposedMs).toBe(0);
    await press(page.locator('#slider-tokens'), 'PageDown', 'ArrowLeft');
    const tokens = Number((await textOf('output[for="slider-tokens"]') as string).replace(',', ''));
    expect(tokens).toBeLessThan(8192);
    await shows({ tokens });
    await slide('tokens', 2048);
    await slide('ranks', 4);
    await slide('experts', 256);
    await slide('gamma', 1);
    await shows({ tokens: 2048, ranks: 4, experts: 256, gamma: 1 });
    expect(await page.locator('#verdict').getAttribute('data-state')).toBe('exposed');
    await slide('offload', 2);
    await shows({ tokens: 2048, ranks: 4, experts: 256, gamma: 1, offload: 2 });
    expect(await page.locator('#drawing').getAttribute('data-slots')).toBe('3');
    expect(await page.locator('[data-rank="0"] .vessel').count()).toBe(4); // and the first layer's
  });

  it('say their values with units, and jump to a machine and to batches about the threshold', async () => {
    await open();
    await page.selectOption('#machine', 'rtx-4090');
    await shows({ ranks: 4, linkBytesPerSecond: 16e9, hostBytesPerSecond: 32e9, flopsPerSecond: 165.2e12 * 0.32 });
    expect(await page.locator('#slider-linkBytesPerSecond').getAttribute('aria-valuetext')).toBe('16 GB/s');
    expect(await page.locator('#slider-flopsPerSecond').getAttribute('aria-valuetext')).toBe('52.9 TFLOP/s');
    await page.selectOption('#machine', 'h100-80');
    await page.getByRole('button', { name: 'Short batch' }).click();
    await says('output[for="slider-tokens"]', '2,048'); // a quarter of 7,945, nearest
    await page.getByRole('button', { name: 'Long batch' }).click();
    await says('output[for="slider-tokens"]', '16,384');
    expect(await page.locator('#verdict').getAttribute('data-state')).toBe('hidden');
  });
});

describe('the clock', () => {
  it('plays and pauses, steps from moment to moment, and goes where the scrubber says', async () => {
    await open();
    const { wallMs, transferMs } = predicted({});
    expect(await now()).toBe(0);
    await page.getByRole('button', { name: 'Step forward' }).click();
    expect(await now()).toBeCloseTo(transferMs, 3); // the first gather is over
    await page.getByRole('button', { name: 'Step back' }).click();
    expect(await now()).toBe(0);
    await page.selectOption('#speed', '4');
    await page.locator('#play').click();
    await expect.poll(now).toBeGreaterThan(0.02 * wallMs);
    await page.locator('#play').click();
    const paused = await now();
    expect(await drawnAt()).toBeCloseTo(paused / wallMs, 2);
    await page.locator('#scrubber').fill('500');
    expect(await now()).toBeCloseTo(wallMs / 2, 3);
    expect(await drawnAt()).toBeCloseTo(0.5, 2);
  });

  it('obeys the keys of the drawing: Space, arrows, Home and End, and tells those who do not see it', async () => {
    await open();
    const { wallMs, transferMs } = predicted({});
    const drawing = page.locator('#drawing');
    await press(drawing, 'End');
    expect(await now()).toBeCloseTo(wallMs, 6);
    await press(drawing, 'Home', 'ArrowRight');
    expect(await now()).toBeCloseTo(transferMs, 3);
    await expect.poll(() => textOf('#schedule-now')).toBe('9.41 ms: each of 8 ranks computes layer 0 (80 %)'); // 9.4 of 11.6 ms
    await press(drawing, ' ');
    await says('#play', 'Pause');
    await press(drawing, ' ');
    await says('#play', 'Play');
  });

  it('keeps its place in the drawing while the batch grows', async () => {
    await open();
    await page.locator('#scrubber').fill('250');
    await slide('tokens', 16_384);
    expect(await now()).toBeCloseTo(predicted({ tokens: 16_384 }).wallMs / 4, 3);
  });
});

/** What is painted in a rank's lanes. @param share of their width. @param y pixels from their top */
async function colourAt(share: number, y: number): Promise<number[]> {
  return page.locator('[data-rank="0"] canvas').evaluate((canvas: HTMLCanvasElement, at) => {
    const ratio = canvas.width / canvas.clientWidth;
    return [...(canvas.getContext('2d') as CanvasRenderingContext2D).getImageData(Math.round(at.share * canvas.clientWidth * ratio), Math.round(at.y * ratio), 1, 1).data];
  }, { share, y });
}

describe('the drawing', () => {
  it('shows waiting in red, and the slot of the awaited layer half full', async () => {
    await open();
    await slide('tokens', 2048);
    const { wallMs, schedule } = predictRun(shapeOf({ ...FIRST_SETTINGS, tokens: 2048 }, 'asyncep'));
    await says('#wall-ms', msText(wallMs));
    const wait = traceOf(schedule).find(({ rank, track, args }) => rank === 0 && track === 'wait' && args?.['layer'] === 3) as TraceEvent;
    const gather = traceOf(schedule).find(({ rank, track, args }) => rank === 0 && track === 'receive' && args?.['layer'] === 3) as TraceEvent;
    const middleMs = (wait.startUs + wait.durationUs / 2) / 1000;
    const labels = await page.locator('[data-rank="0"] .labels span').evaluateAll((spans) => spans.map((span) => [span.textContent, (span as HTMLElement).offsetTop + 3] as const));
    expect(await colourAt(middleMs / wallMs, new Map(labels).get('wait') as number)).toEqual([0xd4, 0x14, 0x1c, 255]);
    await page.locator('#scrubber').fill(String((1000 * middleMs) / wallMs));
    const vessel = page.locator('[data-rank="0"] .vessel[data-waited="true"]');
    expect(await vessel.getAttribute('data-layer')).toBe('3');
    const level = (middleMs * 1000 - gather.startUs) / gather.durationUs;
    expect(await vessel.locator('small').textContent()).toBe(`${Math.floor(100 * level)} % here`);
    expect(await textOf('.now')).toContain('stands still: layer 3 is not there yet');
  });

  it('unfolds all ranks', async () => {
    await open();
    expect(await page.locator('#drawing [data-rank]').count()).toBe(2);
    await page.getByRole('button', { name: 'All 8 ranks' }).click();
    expect(await page.locator('#drawing [data-rank]').count()).toBe(8);
  });

  it('shows a real run in its place, one pass of it at a time, and goes back', async () => {
    await open();
    const bar = (track: TraceEvent['track'], layer: number, startMs: number, ms: number, pass: number): TraceEvent =>
      ({ name: `${track === 'wait' ? 'wait for ' : ''}layer ${layer}`, rank: 0, track, startUs: startMs * 1000, durationUs: ms * 1000, args: { layer, pass } });
    const events = [bar('compute', 0, 100, 30, 0), bar('compute', 0, 130, 20, 1), bar('wait', 1, 150, 10, 1), bar('compute', 1, 160, 40, 1)];
    await page.locator('#trace-file').setInputFiles({ name: 'real.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(writeTrace(events))) });
    await says('.real b', 'real.json');
    await says('#wall-ms', '70 ms');
    await says('#exposed-ms', '10 ms');
    await page.selectOption('.real select', '0');
    await says('#wall-ms', '30 ms');
    await page.getByRole('button', { name: 'Back to the simulation' }).click();
    await shows({});
  });
});

describe('the threshold', () => {
  it('is crossed by dragging the batch: left of it the gather shows, right of it it is hidden', async () => {
    await open();
    const handle = page.locator('#batch-handle');
    await handle.scrollIntoViewIfNeeded();
    const circle = await handle.locator('circle').boundingBox();
    const svg = await page.locator('.chart svg').boundingBox();
    if (circle === null || svg === null) throw new Error('the chart is not in sight');
    const doubling = (svg.width - 78) / 10; // 64 to 65,536 between the margins
    const [x, y] = [circle.x + circle.width / 2, circle.y + circle.height / 2];
    await page.mouse.move(x, y);
    await page.mouse.down();
    await page.mouse.move(x - 2 * doubling, y, { steps: 5 });
    await says('output[for="slider-tokens"]', '2,048');
    expect(await handle.getAttribute('data-exposed')).toBe('true');
    await page.mouse.move(x + doubling, y, { steps: 5 });
    await says('output[for="slider-tokens"]', '16,384');
    await page.mouse.up();
    await shows({ tokens: 16_384 });
    expect(await handle.getAttribute('data-exposed')).toBe('false');
  });

  it('is crossed by arrow keys, too', async () => {
    await open();
    const handle = page.locator('#batch-handle');
    await press(handle, 'ArrowLeft', 'ArrowLeft', 'PageDown');
    await shows({ tokens: 3072 });
    expect(await handle.getAttribute('aria-valuetext')).toBe('3,072 tokens, the gather is exposed');
    await press(handle, 'End');
    await says('output[for="slider-tokens"]', '65,536');
  });
});

describe('baselines and formulas', () => {
  it('are of the same batch: times, bytes and red of each strategy', async () => {
    await open();
    await slide('ranks', 2);
    await slide('tokens', 1024);
    const patch = { ...FIRST_SETTINGS, ranks: 2, tokens: 1024 };
    await page.locator('#comparison[aria-busy="false"]').waitFor({ timeout: 30_000 });
    for (const strategy of ['asyncep', 'sync', 'ep', 'tp', 'pp'] as const) {
      const { wallMs, ranks } = predictRun(comparedShape(patch, { inFlight: 2, busiest: 1 }, strategy));
      const cell = (key: string): Promise<string | null> => page.locator(`#comparison tr[data-strategy="${strategy}"] [data-key="${key}"]`).textContent();
      expect(await cell('wall'), strategy).toBe(msText(wallMs));
      expect(await cell('sent'), strategy).toBe(bytesText(ranks.reduce((sum, rank) => sum + rank.sentBytes, 0) / 2 / 2 / 9));
    }
  });

  it('have the current numbers put in, and say where they come from', async () => {
    await open();
    const { transferMs, threshold } = predicted({});
    expect(await textOf('#formula-gather output')).toBe(`= ${msText(transferMs)}`);
    expect(await textOf('#formula-threshold output')).toContain(`= ${flopsText(threshold)}, `);
    expect(await textOf('#formula-batch-threshold output')).toBe(`= ${flopsText(94 * threshold)}`);
    expect(await page.locator('#formula-host').count()).toBe(0);
    await slide('offload', 1);
    expect(await textOf('#formula-host output')).toBe(`= ${msText(predicted({ offload: 1 }).transferMs)}`);
    const links = await page.locator('#formulas a').evaluateAll((all) => all.map((link) => (link as HTMLAnchorElement).href));
    expect(new Set(links)).toEqual(new Set(['https://arxiv.org/abs/2605.02960']));
  });
});

describe('a phone', () => {
  it('shows all of it without scrolling sideways', async () => {
    await open(360);
    for (const id of ['schedule', 'baselines', 'formulas']) expect(await page.locator(`#${id}`).evaluate((section) => section.getBoundingClientRect().right)).toBeLessThanOrEqual(360);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
    expect(await page.locator('#drawing [data-rank]').count()).toBe(1);
  });
});
