/** Pages of this package in a headless Chromium that is installed on the machine. */
import { type Browser, chromium, type Page } from 'playwright-core';
// @ts-expect-error plain JavaScript without types
import { CHROMIUM_REMEDY, findChromium } from '../../scripts/setup/chromium.mjs';

/** @throws Error that says how to get one when there is none */
function chromiumPath(): string {
  const found = (findChromium as () => string | undefined)();
  if (found !== undefined) return found;
  throw new Error(`this test looks at a page in a browser, and there is no Chromium. node scripts/setup.mjs --test installs it where it can; ${CHROMIUM_REMEDY as string}`);
}

/**
 * The browser keeps to itself: nothing it does by itself may look like a request of the page.
 * @param more of its arguments
 */
export const launchBrowser = (more: readonly string[] = []): Promise<Browser> => chromium.launch({
  executablePath: chromiumPath(),
  args: [...more, '--headless', '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
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
