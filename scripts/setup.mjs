#!/usr/bin/env node
/**
 * Makes a checkout ready to run; the same command again does nothing and takes a second. Node built-ins only.
 *
 *     node scripts/setup.mjs [--test] [--no-system]
 *
 * 1. the packages of package-lock.json (`npm ci`), 2. dist/ (`npm run build`), 3. a WebGPU adapter: where there is none, a
 * software one, Mesa's lavapipe through apt as root on Debian or Ubuntu, otherwise SwiftShader through npm into the
 * user's cache folder. With a working adapter nothing is installed.
 *
 * --test       also wants SwiftShader beside the first adapter, for the tests that compare two drivers, and a Chromium, for those
 *              that look at pages (through apt as root on Debian)
 * --no-system  never touches the system, even as root
 *
 * Exit code 3: no adapter could be had.
 */
import { parseArgs } from 'node:util';
import { aptIsPossible, installMesa } from './setup/apt.mjs';
import { buildWhenStale, installPackagesWhenStale, linkProgram } from './setup/checkout.mjs';
import { CHROMIUM_REMEDY, chromiumIsPossible, findChromium, installChromium } from './setup/chromium.mjs';
import { fail, run, say } from './setup/say.mjs';
import { installSwiftShader, swiftShaderIsPossible } from './setup/swiftshader.mjs';
import { probe } from './setup/probe.mjs';

const { values: options } = parseArgs({
  options: { test: { type: 'boolean', default: false }, 'no-system': { type: 'boolean', default: false } },
});

const REMEDY = `asyncep needs one WebGPU adapter. Any of these helps, then run this command again:
  - the driver of your GPU (Vulkan on Linux: NVIDIA's own, or mesa-vulkan-drivers for AMD and Intel)
  - as root on Debian or Ubuntu: apt-get install mesa-vulkan-drivers libvulkan1   (Mesa 23.2 or newer)
  - SwiftShader: set ASYNCEP_SWIFTSHADER to a vk_swiftshader_icd.json, e.g. that of an installed Chromium`;

/** Tries one way to an adapter; a failure is told and not fatal, because another way may follow. */
async function attempt(name, install) {
  try {
    await install();
  } catch (error) {
    say(`${name} could not be installed: ${error.message}`);
  }
}

async function provideAdapter() {
  let adapters = await probe();
  if (adapters.length > 0) return adapters;
  say('no WebGPU adapter was found on this machine');
  if (!options['no-system'] && aptIsPossible()) {
    await attempt('Mesa', installMesa);
    adapters = await probe();
  }
  if (adapters.length > 0) return adapters;
  if (swiftShaderIsPossible()) await attempt('SwiftShader', installSwiftShader);
  return probe();
}

/** The tests' second adapter; only where SwiftShader is published for this platform. */
async function provideSecondAdapter(adapters) {
  if (adapters.some(({ name }) => /swiftshader/i.test(name))) return adapters;
  if (!swiftShaderIsPossible()) {
    say('no SwiftShader for this platform: the tests run on the adapters that are here');
    return adapters;
  }
  say('the tests compare two drivers: fetching SwiftShader as the second one');
  await attempt('SwiftShader', installSwiftShader);
  return probe();
}

/** The tests' browser; without one those that look at pages fail. */
async function provideChromium() {
  if (findChromium() !== undefined) return;
  if (!options['no-system'] && chromiumIsPossible()) await attempt('Chromium', installChromium);
  if (findChromium() === undefined) say(`no Chromium: the tests that look at pages will fail. To get one, ${CHROMIUM_REMEDY}`);
}

const packages = installPackagesWhenStale(run);
const built = buildWhenStale(run);
linkProgram();
let adapters = await provideAdapter();
if (adapters.length === 0) fail(REMEDY, 3);
if (options.test) {
  adapters = await provideSecondAdapter(adapters);
  await provideChromium();
}
const changed = packages || built ? 'ready' : 'nothing to do';
say(`${changed}; adapters: ${adapters.map(({ name }) => name).join(', ')}`);
