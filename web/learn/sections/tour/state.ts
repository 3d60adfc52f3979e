/** Which step of the tour is open. The page's address says so, too (`#tour-3`), so that a step can be linked to. */
import { signal } from '@preact/signals';
import { STEPS } from './steps.tsx';

/** From 0; null: the tour is not open. */
export const openStep = signal<number | null>(null);
/** Where the tour was left; 0 before it was begun. */
export const lastStep = signal(0);

const hashOf = (step: number): string => `#tour-${step + 1}`;

/** The step that the page's address names. */
function stepOfAddress(): number | null {
  const number = Number(/^#tour-(\d+)$/.exec(location.hash)?.[1]);
  return number >= 1 && number <= STEPS.length ? number - 1 : null;
}

/** The address changes in place: going back in the browser leaves the page, not the step. */
const writeAddress = (hash: string): void => history.replaceState(null, '', `${location.pathname}${location.search}${hash}`);

/** Opens a step, and sets the page for it. */
export function openAt(step: number): void {
  openStep.value = step;
  lastStep.value = step;
  STEPS[step]?.show();
  if (location.hash !== hashOf(step)) writeAddress(hashOf(step));
}

/** What the steps have set stays as it is. */
export function end(): void {
  openStep.value = null;
  writeAddress('');
}

/** To the next step, or to the one before; at either end nothing happens. */
export function move(direction: 1 | -1): void {
  const step = (openStep.value ?? 0) + direction;
  if (STEPS[step] !== undefined) openAt(step);
}

/** Opens the step of the address, now and whenever a link to one is followed. @returns stops that */
export function followAddress(): () => void {
  const follow = (): void => {
    const step = stepOfAddress();
    if (step !== null && step !== openStep.value) openAt(step);
  };
  follow();
  addEventListener('hashchange', follow);
  return () => removeEventListener('hashchange', follow);
}
