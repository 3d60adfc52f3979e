/** The strategies by name, and where each one's red comes from. */
import type { Compared } from '../../comparison.ts';

export const NAMES: Readonly<Record<Compared, readonly [short: string, long: string]>> = {
  asyncep: ['AsyncEP', 'experts come by weight, ahead of time'],
  sync: ['sync', 'AsyncEP without the A: gathers when asked'],
  ep: ['EP', 'experts stay, rows travel to them'],
  tp: ['TP', 'every matrix is cut'],
  pp: ['PP', 'each rank has some layers'],
};

export const REASONS: Readonly<Record<Compared, string>> = {
  asyncep: 'Red only where the gather of a layer takes longer than the compute of the one before: that depends on the batch, and T sees to it.',
  sync: 'The gather begins when the layer is needed, so all of it is red, however long the batch is.',
  ep: 'Twice a layer, rows go to the ranks of their experts and back, and nobody goes on before the last row is there; who has the popular experts keeps the others waiting.',
  tp: 'Each half of a layer ends with a sum over all ranks: rows are gathered before it and reduced behind it, and only a second batch under way can fill the time.',
  pp: 'A rank waits until the first rows have come through all the ranks before it, in red, and has nothing to do when the last ones have left, empty: together, the bubble.',
};
