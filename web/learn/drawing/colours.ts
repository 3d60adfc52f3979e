/** The colours of the page's style, light or dark as the reader's system is; layers have those of the timeline page. */
import { signal } from '@preact/signals';
import { hueOf } from '../../timeline/bars.js';

export interface Colours {
  readonly back: string;
  readonly front: string;
  readonly faint: string;
  readonly line: string;
  readonly raised: string;
  readonly plain: string;
  readonly wait: string;
  readonly exposed: string;
  readonly band: string;
  readonly text: string;
  layer(layer: number | null): string;
}

/** Also what a style can use: the variables follow the reader's system by themselves. */
export const layerColour = (layer: number | null): string => (layer === null ? 'var(--plain)' : `hsl(${hueOf(layer)} 62% var(--bar-lightness))`);

function readColours(): Colours {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  const lightness = of('bar-lightness');
  return {
    back: of('back'), front: of('front'), faint: of('faint'), line: of('line'), raised: of('raised'), plain: of('plain'), wait: of('wait'), exposed: of('exposed'), band: of('exposed-band'), text: of('bar-text'),
    layer: (layer) => (layer === null ? of('plain') : `hsl(${hueOf(layer)} 62% ${lightness})`),
  };
}

/** Changes when the reader's system changes between light and dark. */
export const colours = signal<Colours>(readColours());
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => void (colours.value = readColours()));
