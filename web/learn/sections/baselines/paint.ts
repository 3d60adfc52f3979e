/** A strategy's ranks as thin rows: computing in the layer's colour, waiting for bytes in red, nothing to do empty. */
import type { Compare } from '../../comparison.ts';
import type { Colours } from '../../drawing/colours.ts';
import { surfaceOf } from '../../drawing/paint.ts';

export const ROW_PIXELS = 9;

/** @param lengthMs of the common time scale */
export function paintCompared(canvas: HTMLCanvasElement, { ranks, wallMs }: Compare, lengthMs: number, colours: Colours): void {
  const { context, height, x } = surfaceOf(canvas, { fromMs: 0, toMs: lengthMs });
  context.fillStyle = colours.raised;
  context.fillRect(0, 0, x(wallMs), height);
  for (const [index, { bars, exposed }] of ranks.entries()) {
    const top = index * ROW_PIXELS;
    context.fillStyle = colours.exposed;
    for (const [from, to] of exposed) context.fillRect(x(from), top, Math.max(x(to) - x(from), 0.5), ROW_PIXELS - 1);
    for (const [from, to, layer] of bars) {
      context.fillStyle = colours.layer(layer);
      context.fillRect(x(from), top, Math.max(x(to) - x(from), 0.5), ROW_PIXELS - 1);
    }
  }
  context.fillStyle = colours.front;
  context.fillRect(Math.max(x(wallMs) - 1.5, 0), 0, 1.5, height);
}
