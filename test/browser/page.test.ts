/** The page of web/learn in a headless Chromium whose WebGPU is SwiftShader's: built as it is published, served as static files. */
import type { Browser, Page } from 'playwright-core';
import type { Plugin } from 'vite';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { violationsOf } from '../learn/axe.ts';
import { servePage, type ServedPage } from '../learn/served-page.ts';
import { relativeError } from '../strategy/golden.ts';
import { launchBrowser, type Watched, watchedPage } from '../trace/chromium.ts';
import { LAYER_BYTES, mailCases } from './mails.ts';

/** SwiftShader compiles for seconds, and longer where all cores are busy. */
const LOAD_MS = 90_000;
const ANSWER_MS = 60_000;
const SWIFTSHADER = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

let served: ServedPage;
/** Bytes of weights that the server has sent. */
let sentBytes = 0;
const counting: Plugin = {
  name: 'count-weights',
  configurePreviewServer: ({ middlewares }) => void middlewares.use((request, response, next) => {
    if (request.url?.endsWith('model.safetensors')) response.on('finish', () => { sentBytes += Number(response.getHeader('content-length')); });
    next();
  }),
};
beforeAll(async () => {
  served = await servePage([counting]);
});
afterAll(() => served?.close());

let browser: Browser;
let watched: Watched;
async function open(args: readonly string[], url = served.url, script?: string): Promise<Page> {
  browser = await launchBrowser(args);
  watched = await watchedPage(browser);
  if (script !== undefined) await watched.page.addInitScript(script);
  await watched.page.goto(url);
  return watched.page;
}
afterEach(() => browser?.close());

interface Shown {
  readonly answer: string;
  readonly truth?: string;
  readonly tokens: number;
  readonly logits: number[];
  readonly streamedBytes: number;
}

const problemOf = (page: Page): Promise<string | null> => page.locator('#problem').textContent();

/** Until the page shows its `count`-th answer; a problem that it shows instead ends the wait, too. */
async function answered(page: Page, count: number, timeout: number): Promise<Shown> {
  await page.locator(`#run[data-answers="${count}"], #problem:not([hidden])`).first().waitFor({ timeout });
  expect(await problemOf(page)).toBe('');
  return JSON.parse(await page.locator('#details').textContent() as string) as Shown;
}

describe('the model in a tab', () => {
  it('classifies held-out mails with the logits of transformers, from this origin alone, without a word in the console', async () => {
    const page = await open(SWIFTSHADER);
    const mails = mailCases(['spam-2/00217', 'easy-ham-1/00807', 'easy-ham-1/01982']);
    expect(sentBytes).toBe(0); // nothing of the model before it is asked for
    for (const [i, { text, label, tokens, logits }] of mails.entries()) {
      await page.fill('#mail', text);
      await page.click('#run button');
      const shown = await answered(page, i + 1, i === 0 ? LOAD_MS : ANSWER_MS);
      expect(shown).toMatchObject({ answer: label, truth: label, tokens, streamedBytes: 3 * LAYER_BYTES });
      expect(relativeError(Float32Array.from(shown.logits), logits)).toBeLessThan(1e-4);
      expect(await page.locator('#answer').textContent()).toMatch(new RegExp(`^${label} \\(9\\d\\.\\d %\\), \\d+ ms$`));
    }
    // They came over the network: three layers a mail.
    expect(sentBytes).toBeGreaterThanOrEqual(3 * mails.length * LAYER_BYTES);
    expect(watched.errors).toEqual([]);
    expect([...new Set(watched.requests.map((url) => new URL(url).origin))]).toEqual([served.origin]);
  }, 300_000);

  it('gives equal logits whenever experts come, and counts what came for the pass; the drawing is given each pass', async () => {
    const page = await open(SWIFTSHADER);
    await page.selectOption('#example', 'spam-2/00217');
    const shown: Shown[] = [];
    for (const strategy of ['sync', 'resident', 'asyncep']) {
      await page.check(`#run input[value="${strategy}"]`);
      await page.click('#run button');
      shown.push(await answered(page, shown.length + 1, LOAD_MS));
      expect(await page.locator('#shown-run').inputValue()).toBe(`answer ${shown.length} of this tab, ${strategy}`);
    }
    expect(shown.map(({ streamedBytes }) => streamedBytes)).toEqual([3 * LAYER_BYTES, 0, 3 * LAYER_BYTES]);
    expect(shown.map(({ logits }) => logits)).toEqual([0, 1, 2].map(() => shown[0]?.logits));
    expect(await page.locator('#passes tbody th').allTextContents()).toEqual(['asyncep', 'sync', 'resident']);
    expect(await violationsOf(page)).toEqual([]);
    expect(watched.errors).toEqual([]);
  }, 300_000);
});

describe('a browser that cannot run it is told what to do', () => {
  it('without WebGPU: where it is, and how to switch it on', async () => {
    const page = await open([], served.url, 'delete Navigator.prototype.gpu');
    expect(await problemOf(page)).toMatchInlineSnapshot(`
      "this browser has no WebGPU, or has it switched off.
        Chrome and Edge: version 113 or later on Windows, macOS and ChromeOS, 121 on Android; on Linux switch on chrome://flags/#enable-unsafe-webgpu (edge://flags/#enable-unsafe-webgpu) and restart
        Firefox: version 141 or later on Windows, 145 on Macs with Apple silicon; elsewhere set dom.webgpu.enabled to true in about:config (Nightly)
        Safari: version 26 or later"
    `);
    expect(await page.locator('#problem').isVisible()).toBe(true);
    expect(await page.locator('#run button').isDisabled()).toBe(true);
    expect(watched.errors).toEqual([]);
  });

  it('without an adapter: what may be missing', async () => {
    const page = await open([], served.url, 'GPU.prototype.requestAdapter = async () => null');
    await page.click('#run button');
    await page.locator('#problem:not([hidden])').waitFor();
    expect(await problemOf(page)).toMatchInlineSnapshot(`
      "this browser has WebGPU, but found no adapter to compute on.
        Switch on hardware acceleration in the browser's settings and restart it; update the driver of the GPU.
        Chrome and Edge on Linux: switch on chrome://flags/#enable-unsafe-webgpu, and #enable-vulkan if that is not enough; chrome://gpu says what is missing
        Firefox: about:support says what is missing, under Graphics"
    `);
  });

  it('on a page that does not come safely: how to open it', async () => {
    const url = served.url.replace('127.0.0.1', 'learn.test');
    expect(await problemOf(await open(['--host-resolver-rules=MAP learn.test 127.0.0.1'], url))).toMatchInlineSnapshot(`"WebGPU is there only for pages that come safely: open this page by https://, or from this machine by http://localhost or http://127.0.0.1"`);
  });
});
