/** Opens the weights that a model source names. */
import { openCheckpoint } from '../model/checkpoint.ts';
import { presetConfig } from '../model/presets.ts';
import { randomWeights } from '../model/random-weights.ts';
import type { ModelConfig, ModelWeights } from '../model/types.ts';
import { openFolder } from '../node/files.ts';
import type { ModelSource } from './messages.ts';

/** @throws InputError naming what is wrong with the folder, or an unknown preset */
export async function openModel(source: ModelSource): Promise<ModelWeights> {
  switch (source.kind) {
    case 'folder': return openCheckpoint(await openFolder(source.path));
    case 'random': return randomWeights(presetConfig(source.preset, { layers: source.layers }), { seed: source.seed });
    case 'random-config': return randomWeights(source.config as unknown as ModelConfig, { seed: source.seed });
    default: return source satisfies never;
  }
}
