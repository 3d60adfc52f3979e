/** Pages of this package in a headless Chromium that is installed on the machine. */
import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';

const CANDIDATES = [
  '/usr/bin/chromium', '/usr/bin/google-chrome', '/usr/bin/chromium-browser',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome', '/Applications/Chromium.app/Contents/MacOS/Chromium',
  String.raw`C:\Program Files\Google\Chrome\Application\chrome.exe`,
];

/** @throws Error that says how to get one when there is none */
function findChromium(): string {
  const given = process.env['ASYNCEP_CHROMIUM'];
  const found = (given === undefined ? CANDIDATES : [given]).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new Error(`${given === undefined ? 'no Chromium or Chrome was found' : `ASYNCEP_CHROMIUM: ${given}: no such file`}, and this test looks at a page in one. `
    + 'As root on Debian: apt-get install chromium (node scripts/setup.mjs --test does it); elsewhere install Chrome, or set ASYNCEP_CHROMIUM to the path of a Chromium.');
}

/** The browser keeps to itself: nothing it does by itself may look like a request of the page. */
export const launchBrowser = (): Promise<Browser> => chromium.launch({
  executablePath: findChromium(),
  args: ['--headless', '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

export interface Watched {
  readonly page: Page;
  /** Console errors, uncaught errors and refused content. */
  readonly errors: string[];
  /** Address of every request that the page made, its own included. */
  readonly requests: string[];
}

/** A new page that is listened to from its beginning. */
export async function watchedPage(browser: Browser, options: Parameters<Browser['newPage']>[0] = {}): Promise<Watched> {
  const page = await browser.newPage(options);
  const [errors, requests]: [string[], string[]] = [[], []];
  page.on('console', (message) => void (['error', 'warning'].includes(message.type()) && errors.push(message.text())));
  page.on('pageerror', (error) => void errors.push(error.message));
  page.on('request', (request) => void requests.push(request.url()));
  page.setDefaultTimeout(10_000);
  return { page, errors, requests };
}
