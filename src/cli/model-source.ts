/** `--model`, `--random-weights` and `--layers`: which model is meant. */
import { join } from 'node:path';
import type { ModelSource } from '../cluster/index.ts';
import { InputError } from '../errors.ts';
import { readConfig } from '../model/config.ts';
import type { ModelFiles } from '../model/files.ts';
import { presetConfig, presetNames } from '../model/presets.ts';
import { type ModelTokenizer, openTokenizer } from '../model/tokenizer.ts';
import type { ModelConfig } from '../model/types.ts';
import { openFolder } from '../node/files.ts';

/** Flags that name a model. */
export interface ModelFlags {
  readonly model: string;
  /** Seed; instead of the checkpoint's weights. */
  readonly randomWeights?: number;
  /** With random weights: only so many layers. */
  readonly layers?: number;
}

/** A model before any weight is read. */
export interface ChosenModel {
  readonly source: ModelSource;
  readonly config: ModelConfig;
  /** @throws InputError when the model has no tokenizer */
  tokenizer(): Promise<ModelTokenizer>;
}

function presetModel(name: string, seed: number, layers: number | undefined): ChosenModel {
  return {
    source: { kind: 'random', preset: name, seed, ...(layers === undefined ? {} : { layers }) },
    config: presetConfig(name, { layers }),
    tokenizer: async () => {
      throw new InputError('--model', name, 'a preset has no tokenizer; expected token ids instead of text');
    },
  };
}

async function inFolder<T>(path: string, use: (files: ModelFiles) => Promise<T>): Promise<T> {
  const files = await openFolder(path);
  try {
    return await use(files);
  } finally {
    await files.close();
  }
}

function cutLayers(config: ModelConfig, layers: number | undefined): ModelConfig {
  if (layers === undefined) return config;
  if (layers > config.numHiddenLayers) throw new InputError('--layers', String(layers), `expected 1 to ${config.numHiddenLayers}`);
  return { ...config, numHiddenLayers: layers, layerIsMoe: config.layerIsMoe.slice(0, layers) };
}

async function folderModel({ model, randomWeights: seed, layers }: ModelFlags): Promise<ChosenModel> {
  const declared = await inFolder(model, readConfig);
  const config = seed === undefined ? declared : cutLayers(declared, layers);
  const source: ModelSource = seed === undefined ? { kind: 'folder', path: model } : { kind: 'random-config', config: { ...config }, seed };
  return { source, config, tokenizer: () => inFolder(model, openTokenizer) };
}

/**
 * Reads the configuration of the model that the flags name: a folder, or with random weights a published shape.
 * @throws InputError for a folder or a config.json that cannot be used
 */
export async function chooseModel(flags: ModelFlags): Promise<ChosenModel> {
  const { model, randomWeights, layers } = flags;
  if (layers !== undefined && randomWeights === undefined) {
    throw new InputError('--layers', '', 'changes the shape of the model; expected --random-weights with it');
  }
  if (!presetNames.includes(model)) return folderModel(flags);
  if (randomWeights !== undefined) return presetModel(model, randomWeights, layers);
  throw new InputError('--model', model, `is a shape without weights; expected --random-weights with it, or a folder (${join('.', model)} for one of that name)`);
}
