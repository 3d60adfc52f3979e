/** What all runs of `bench:scale` have in common: model, machine, limits of a batch. */
import { DGX_H100, nodesOf, type Arrangement } from '../src/sim/topology.ts';
import { planTopology, type TopologyPlan, type TopologySetting } from '../src/sim/topology-plan.ts';
import { hardwarePreset } from '../src/sim/presets/hardware.ts';
import { modelPreset } from '../src/sim/presets/models.ts';
import type { ScaleSpec } from './scale-spec.ts';

/** The model that the paper measured, on its H100s. */
export const SETTING: TopologySetting = { config: modelPreset('qwen3-235b-a22b').config, hardware: hardwarePreset('h100-80'), precision: 'fp8', offload: 0, gamma: 1.2 };
/** Tokens to compute of one batch at most, unless one prompt is longer; tokens of a rank's prefix cache: as `asyncep bench router` has them. */
export const BATCH_TOKENS = 65_536;
export const CACHE_TOKENS = 131_072;
export const MAX_WAIT_MS = 1000;
/** The mean of the paper's mix is 514. */
export const CONTEXT_TOKENS = 512;
export const SEED = 1;

export const arrangementOf = ({ arrangement, ranks, worldRanks }: Pick<ScaleSpec, 'arrangement' | 'ranks' | 'worldRanks'>): Arrangement =>
  ({ kind: arrangement, ranks, ...(worldRanks === undefined ? {} : { worldRanks }) });

/** @param offload layers held ahead */
export const planOf = (spec: Pick<ScaleSpec, 'arrangement' | 'ranks' | 'worldRanks' | 'networkGbits'>, offload = 0): TopologyPlan =>
  planTopology({ ...SETTING, offload }, arrangementOf(spec), nodesOf(DGX_H100, spec.networkGbits), { tokens: BATCH_TOKENS, contextTokens: CONTEXT_TOKENS });
