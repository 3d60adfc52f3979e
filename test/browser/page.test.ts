/** The page of web/learn in a headless Chromium whose WebGPU is SwiftShader's: built as it is published, served as static files. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { build, preview, type InlineConfig, type Plugin, type PreviewServer } from 'vite';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { relativeError } from '../strategy/golden.ts';
import { launchBrowser, type Watched, watchedPage } from '../trace/chromium.ts';
import { LAYER_BYTES, mailCases } from './mails.ts';

const CONFIG: InlineConfig = { configFile: fileURLToPath(new URL('../../web/learn/vite.config.ts', import.meta.url)), logLevel: 'warn' };
/** Not the root of the server: the folder is to work under any path. */
const PATH = 'under/any/path';

/** SwiftShader compiles for seconds, and longer where all cores are busy. */
const LOAD_MS = 90_000;
const ANSWER_MS = 60_000;

let folder: string;
let server: PreviewServer;
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
  folder = await mkdtemp(join(tmpdir(), 'asyncep-learn-'));
  await build({ ...CONFIG, build: { outDir: join(folder, PATH), emptyOutDir: false } });
  server = await preview({ ...CONFIG, plugins: [counting], base: '/', build: { outDir: folder }, preview: { host: '127.0.0.1', port: 0, allowedHosts: true } });
});
afterAll(async () => {
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

const origin = (): string => new URL(server.resolvedUrls?.local[0] as string).origin;
const pageUrl = (): string => `${origin()}/${PATH}/`;

/** Until the page is ready for a text, or has given up. */
async function settled(page: Page, timeout: number): Promise<void> {
  await page.waitForFunction(() => ['ready', 'stopped'].includes((document.querySelector('#state') as HTMLOutputElement).value), undefined, { timeout });
}

let browser: Browser;
let watched: Watched;
async function open(args: readonly string[], url = pageUrl(), script?: string): Promise<Page> {
  browser = await launchBrowser(args);
  watched = await watchedPage(browser);
  if (script !== undefined) await watched.page.addInitScript(script);
  await watched.page.goto(url);
  await settled(watched.page, LOAD_MS);
  return watched.page;
}
afterEach(() => browser?.close());

interface Shown {
  readonly answer: string;
  readonly tokens: number;
  readonly logits: number[];
  readonly streamedBytes: number;
}

async function classify(page: Page, text: string): Promise<Shown> {
  await page.fill('textarea', text);
  await page.click('button');
  await settled(page, ANSWER_MS);
  return JSON.parse(await page.locator('#details').textContent() as string) as Shown;
}

describe('the model in a tab', () => {
  it('classifies held-out mails with the logits of transformers, from this origin alone, without a word in the console', async () => {
    const page = await open(['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader']);
    expect(await page.locator('#problem').textContent()).toBe('');
    const mails = mailCases(['spam-2/00217', 'easy-ham-1/00807', 'easy-ham-1/01982']);
    const before = sentBytes;
    for (const { text, label, tokens, logits } of mails) {
      const shown = await classify(page, text);
      expect(shown).toMatchObject({ answer: label, tokens, streamedBytes: 3 * LAYER_BYTES });
      expect(relativeError(Float32Array.from(shown.logits), logits)).toBeLessThan(1e-4);
      expect(await page.locator('#answer').textContent()).toMatch(new RegExp(`^${label} \\(9\\d\\.\\d %\\), \\d+ ms$`));
    }
    // They came over the network: three layers a mail, two of which may have come before the first one.
    expect(sentBytes - before).toBeGreaterThanOrEqual((3 * mails.length - 2) * LAYER_BYTES);
    expect(watched.errors).toEqual([]);
    expect([...new Set(watched.requests.map((url) => new URL(url).origin))]).toEqual([origin()]);
  }, 300_000);
});

const problemOf = (page: Page): Promise<string | null> => page.locator('#problem').textContent();

describe('a browser that cannot run it is told what to do', () => {
  it('without WebGPU: where it is, and how to switch it on', async () => {
    const page = await open([], pageUrl(), 'delete Navigator.prototype.gpu');
    expect(await problemOf(page)).toMatchInlineSnapshot(`
      "this browser has no WebGPU, or has it switched off.
        Chrome and Edge: version 113 or later on Windows, macOS and ChromeOS, 121 on Android; on Linux switch on chrome://flags/#enable-unsafe-webgpu (edge://flags/#enable-unsafe-webgpu) and restart
        Firefox: version 141 or later on Windows, 145 on Macs with Apple silicon; elsewhere set dom.webgpu.enabled to true in about:config (Nightly)
        Safari: version 26 or later"
    `);
    expect(await page.locator('#problem').isVisible()).toBe(true);
    expect(await page.locator('button').isDisabled()).toBe(true);
    expect(watched.errors).toEqual([]);
  });

  it('without an adapter: what may be missing', async () => {
    expect(await problemOf(await open([], pageUrl(), 'GPU.prototype.requestAdapter = async () => null'))).toMatchInlineSnapshot(`
      "this browser has WebGPU, but found no adapter to compute on.
        Switch on hardware acceleration in the browser's settings and restart it; update the driver of the GPU.
        Chrome and Edge on Linux: switch on chrome://flags/#enable-unsafe-webgpu, and #enable-vulkan if that is not enough; chrome://gpu says what is missing
        Firefox: about:support says what is missing, under Graphics"
    `);
  });

  it('on a page that does not come safely: how to open it', async () => {
    const url = pageUrl().replace('127.0.0.1', 'learn.test');
    expect(await problemOf(await open(['--host-resolver-rules=MAP learn.test 127.0.0.1'], url))).toMatchInlineSnapshot(`"WebGPU is there only for pages that come safely: open this page by https://, or from this machine by http://localhost or http://127.0.0.1"`);
  });
});
