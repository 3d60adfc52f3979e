/** Hue of a layer, the same in every rank and timeline. */
export function hueOf(layer: number): number;
