/**
 * Waiting for the device without taking its cores.
 *
 * While a GPU promise is pending, Node's loop and Dawn's polling spin, and a software adapter computes on the very cores
 * they spin on: sleeping a millisecond between turns of the loop gave it a third more. On a real GPU nothing is
 * gained but a cooler core, and up to a millisecond is lost per wait, so it is off there unless asked for.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Waits for a promise of the device. The runtime is handed one of these. */
export type Wait = <T>(promise: Promise<T>) => Promise<T>;

/** `auto`: paced on software adapters only. */
export type Pacing = 'on' | 'off' | 'auto';

const SLEEP_MS = 1;
const cell = new Int32Array(new SharedArrayBuffer(4));

/** Awaits `promise`; until it settles, the thread sleeps 1 ms between two turns of the event loop. */
export async function pacedWait<T>(promise: Promise<T>): Promise<T> {
  let pending = true;
  const settled = promise.finally(() => { pending = false; });
  settled.catch(() => {}); // reported to whoever awaits the result below
  await nextTurn();
  while (pending) {
    Atomics.wait(cell, 0, 0, SLEEP_MS);
    await nextTurn();
  }
  return settled;
}

/** The one switch: `ASYNCEP_PACING` = `on`, `off` or `auto` (anything else, or unset, is `auto`). */
export function pacingSetting(): Pacing {
  const value = process.env['ASYNCEP_PACING'];
  return value === 'on' || value === 'off' ? value : 'auto';
}

/** How to wait for this adapter. */
export function waitFor(adapter: { readonly software: boolean }): Wait {
  const setting = pacingSetting();
  const paced = setting === 'on' || (setting === 'auto' && adapter.software);
  return paced ? pacedWait : (promise) => promise;
}
