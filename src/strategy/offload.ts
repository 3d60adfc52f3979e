/**
 * Offload: a rank's own shard does not live on its device either; it comes back from the rank's own segment, which is host memory, as the peers'
 * parts come from theirs. The device holds the first layer and a window of slots: the layer that computes and k ahead of it.
 *
 * In the paper (section 2, mode 3) the window holds a rank's 1/N of k layers, from which a gatherer on the device side assembles the next one.
 * Here the window is made of complete slots, because on WebGPU every byte from a peer passes host memory anyway: a window of own parts would
 * cost its memory and a second device copy, and would save no byte of any transfer. A world of 1 is the paper's single device mode: a model
 * whose experts do not fit the device.
 */
import { InputError } from '../errors.ts';
import { settingsOf, type ExpertPlan, type StreamContext } from './context.ts';

/** Whether own experts stay in host memory. */
export const offloads = (context: Pick<StreamContext, 'settings'>): boolean => settingsOf(context).offloadLayers > 0;

/** Complete layers that the window holds ahead of the one that computes: what was asked for, but no more than travel. */
const layersAhead = (context: Pick<StreamContext, 'settings'>, { streamedLayers }: Pick<ExpertPlan, 'streamedLayers'>): number =>
  Math.min(settingsOf(context).offloadLayers, streamedLayers.length);

/** What `asyncep` makes of the settings. */
export interface AheadShape {
  readonly slots: number;
  readonly depth: number;
}

/**
 * Slots and lead of `asyncep`. Offloading k layers takes k + 1 slots, and a lead of at least k, or the slots ahead would stand empty; a lead
 * beyond that is what waits in staging for a slot, as it is without offload.
 */
export function aheadShape(context: Pick<StreamContext, 'settings'>, plan: Pick<ExpertPlan, 'streamedLayers'>): AheadShape {
  const depth = Math.max(1, settingsOf(context).depth);
  if (!offloads(context)) return { slots: 2, depth };
  const ahead = layersAhead(context, plan);
  return { slots: ahead + 1, depth: Math.max(depth, ahead) };
}

/** @throws InputError when the setting is not a number of layers, or the strategy keeps all experts on the device */
export function checkOffload(strategy: string, context: Pick<StreamContext, 'settings'>): void {
  const { offloadLayers } = settingsOf(context);
  if (!Number.isInteger(offloadLayers) || offloadLayers < 0) {
    throw new InputError('--offload', '', `${offloadLayers} layers asked for; expected a whole number of layers to hold ahead of the one that computes`);
  }
  if (offloadLayers > 0 && strategy === 'resident') {
    throw new InputError('--offload', '', 'resident keeps every expert on the device and has nothing to bring in; expected asyncep or sync');
  }
}
