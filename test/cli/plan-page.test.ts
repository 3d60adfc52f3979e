/** The page of `asyncep plan --html` in a browser. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import type { AxeResults } from 'axe-core';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { planHtml } from '../../src/cli/plan-html.ts';
import { presetConfig } from '../../src/model/presets.ts';
import { makePlan } from '../../src/sim/plan/plan.ts';
import type { PlanSetting } from '../../src/sim/plan/setting.ts';
import { hardwarePreset } from '../../src/sim/presets/hardware.ts';
import { launchBrowser, watchedPage } from '../trace/chromium.ts';
import { scratch } from './run.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const { file } = scratch();
let browser: Browser;
let address: string;

beforeAll(async () => {
  const config = presetConfig('qwen3-30b-a3b', { layers: 4 });
  const setting: PlanSetting = { config, hardware: hardwarePreset('h100-80'), ranks: 2, precision: 'fp8', offload: 0, kv: 'layer', cacheTokens: 0, gamma: 1.2 };
  const page = planHtml({ title: 'Small <model>', config, source: 'test', cannotRun: null, published: null }, setting, makePlan(setting, { workload: 'short', batchTokens: 2048 }));
  address = pathToFileURL(file('plan.html', page)).href;
  browser = await launchBrowser();
}, 120_000);
afterAll(() => browser?.close());

describe.each(['light', 'dark'] as const)('the page, %s', (colorScheme) => {
  it.each([1200, 390])('%i pixels wide, has no violation that axe-core knows, nothing over its edge, and asks for nothing but itself', async (width) => {
    const { page, errors, requests } = await watchedPage(browser, { colorScheme, viewport: { width, height: 800 } });
    await page.goto(address);
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run());
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join('; ')}`)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
    expect([errors, requests]).toEqual([[], [address]]);
    await page.close();
  }, 60_000);
});
