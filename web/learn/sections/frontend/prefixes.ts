/** Names and colours of prefixes. Red is not among them: on this page it means waiting for experts. */
import { MOST_PREFIXES } from './arrivals.ts';

interface PrefixLook {
  readonly letter: string;
  readonly colour: string;
  /** As a style: `--solid`, in the page's lightness of bars. */
  readonly style: { readonly '--solid': string };
}

const COLOURS = [['blue', 212], ['orange', 28], ['green', 140], ['purple', 275], ['yellow', 50], ['teal', 180], ['pink', 325], ['lime', 85]] as const;

/** By number of the prefix. */
export const PREFIX_LOOKS: readonly PrefixLook[] = COLOURS.slice(0, MOST_PREFIXES).map(([colour, hue], index) =>
  ({ letter: 'ABCDEFGH'[index] as string, colour, style: { '--solid': `hsl(${hue} 62% var(--bar-lightness))` } }));

export const lookOf = (prefix: number): PrefixLook => PREFIX_LOOKS[prefix] as PrefixLook;
