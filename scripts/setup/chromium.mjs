/** A Chromium for the tests that look at pages: one that is installed, or Debian's through apt. */
import { existsSync } from 'node:fs';
import { aptGet, aptIsPossible, isUbuntu } from './apt.mjs';
import { say } from './say.mjs';

const CANDIDATES = [
  '/usr/bin/chromium', '/usr/bin/google-chrome', '/usr/bin/chromium-browser',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome', '/Applications/Chromium.app/Contents/MacOS/Chromium',
  String.raw`C:\Program Files\Google\Chrome\Application\chrome.exe`,
];

/** Path of a Chromium or Chrome: that of ASYNCEP_CHROMIUM where it is set, else the first that is installed; undefined when there is none. */
export function findChromium() {
  const given = process.env.ASYNCEP_CHROMIUM;
  return (given ? [given] : CANDIDATES).find((path) => existsSync(path));
}

export const CHROMIUM_REMEDY = 'as root on Debian: apt-get install chromium; elsewhere install Chrome or Chromium, or set ASYNCEP_CHROMIUM to the path of one';

/** Ubuntu's package of this name is a stub for a snap, which containers cannot run. */
export const chromiumIsPossible = () => aptIsPossible() && !isUbuntu();

/** @throws Error when apt fails */
export function installChromium() {
  say('installing chromium with apt: a browser for the tests that look at pages');
  aptGet(['chromium']);
}
