/** The small world of this section: what its sliders set, and what follows from them. Pure. */
import { presetConfig } from '../../../../src/model/presets.ts';
import { BLOCK_TOKENS } from '../../../../src/runtime/kernels/attention.ts';
import { requestFlops } from '../../../../src/serving/request-flops.ts';
import { CANDIDATES } from '../../../../src/sim/serving/request.ts';
import type { SchedulerKind, SchedulerOptions } from '../../../../src/serving/scheduling.ts';
import type { WorldOptions } from '../../../../src/sim/serving/world.ts';
import { LAYERS, modelOf, WEIGHT_BYTES } from '../../scenario.ts';

/** Blocks of a prefix. */
export const PREFIX_BLOCKS = 8;
export const PREFIX_TOKENS = PREFIX_BLOCKS * BLOCK_TOKENS;
/** Tokens behind the prefix: every length between them is as likely as another. */
export const SUFFIX_TOKENS = { least: 40, most: 87 } as const;
/** Of a run: enough for prefixes to be forgotten and computed again. */
export const REQUESTS = 200;

/** At which a device computes: an H100's peak in bf16 times what whole passes reach of it, as in the first scenario of the page. */
export const DEVICE_FLOPS_PER_SECOND = 316e12;

/** Of a batch held back below T: as long as so many batches of T FLOPs take. */
const WAIT_BATCHES = 3;

const PAPERS_MODEL = presetConfig('qwen3-235b-a22b');
/** As few layers as in the scenario of the page: five runs with all of them take too long for a slider that is dragged. */
const CONFIG = modelOf({ experts: PAPERS_MODEL.numExperts }, LAYERS);
export const MOE_LAYERS = CONFIG.layerIsMoe.filter(Boolean).length;

/** True FLOPs of these layers, as the server reckons them. */
export const flopsOf = requestFlops(CONFIG);

/** Of mean length, and nothing of it is cached. */
const WHOLE_REQUEST = { newTokens: PREFIX_TOKENS + (SUFFIX_TOKENS.least + SUFFIX_TOKENS.most) / 2, candidates: CANDIDATES };
/** FLOPs of it: the unit of T's slider. */
export const WHOLE_REQUEST_FLOPS = flopsOf(WHOLE_REQUEST);
/** At which these layers are computed: they take as long as all layers at {@link DEVICE_FLOPS_PER_SECOND}. */
export const FLOPS_PER_SECOND = (DEVICE_FLOPS_PER_SECOND * WHOLE_REQUEST_FLOPS) / requestFlops(PAPERS_MODEL)(WHOLE_REQUEST);

/** The paper's double buffer: the gather of a layer is issued when the layer before begins. */
const DEPTH = 1;

/** What the reader has set here, and the margin of the page's scenario. */
export interface FrontendSettings {
  readonly scheduler: SchedulerKind;
  readonly engines: number;
  /** Requests that come, over those that all engines could compute if nothing were cached. */
  readonly load: number;
  /** Different prefixes. */
  readonly prefixes: number;
  /** Share of the requests that have the first prefix; at least an equal share. */
  readonly hotShare: number;
  /** T over the FLOPs of a whole request. */
  readonly thresholdRequests: number;
  /** Blocks of each engine's prefix cache. */
  readonly cacheBlocks: number;
  /** Margin of the threshold. */
  readonly gamma: number;
}

export const FIRST_FRONTEND_SETTINGS: FrontendSettings = {
  scheduler: 'prefix', engines: 4, load: 3, prefixes: 8, hotShare: 0.4, thresholdRequests: 3, cacheBlocks: 48, gamma: 1.2,
};

/** Settings in numbers of the machine. */
export interface Scene {
  /** T_batch, FLOPs. */
  readonly threshold: number;
  /** t_EP of one layer, such that T = MoE layers x t_EP x F x gamma. */
  readonly gatherMs: number;
  /** Mean time between two requests. */
  readonly gapMs: number;
  readonly schedulerOptions: SchedulerOptions;
  /** Engines, as the simulator has them. */
  readonly world: WorldOptions;
}

/** What follows from the settings. */
export function sceneOf({ scheduler, engines, load, thresholdRequests, cacheBlocks, gamma }: FrontendSettings): Scene {
  const threshold = thresholdRequests * WHOLE_REQUEST_FLOPS;
  const gatherMs = (threshold / (MOE_LAYERS * gamma * FLOPS_PER_SECOND)) * 1000;
  const longest = PREFIX_TOKENS + SUFFIX_TOKENS.most;
  // T and one request more: all that a batch filled up to T can have. The baselines, which know no T, get the same room.
  const batchTokens = Math.ceil((thresholdRequests + 1) * longest);
  return {
    threshold, gatherMs, gapMs: (WHOLE_REQUEST_FLOPS / (FLOPS_PER_SECOND * engines * load)) * 1000,
    schedulerOptions: {
      kind: scheduler, engines, threshold, batchTokens, cacheBlocks, seed: 1,
      batchBlocks: Math.ceil(batchTokens / BLOCK_TOKENS) + cacheBlocks,
      maxWaitMs: ((WAIT_BATCHES * threshold) / FLOPS_PER_SECOND) * 1000,
    },
    world: {
      config: CONFIG, strategy: 'asyncep', ranks: engines, candidates: CANDIDATES, flopsPerSecond: FLOPS_PER_SECOND, link: null, gatherMs, wire: 'bf16', weightBytes: WEIGHT_BYTES,
      dispatch: 'rank', depth: DEPTH,
    },
  };
}
