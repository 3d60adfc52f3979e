/**
 * The scenario of the page, from the sliders to the numbers and the drawing. All of it comes from the simulator (src/sim): the page computes no
 * time, no byte and no threshold of its own.
 *
 * The model is Qwen3-235B-A22B in bf16 with as many experts as the slider says. Times of runs are those of some of its layers; a layer costs what it
 * costs in the whole model.
 */
import type { ModelConfig } from '../../src/model/types.ts';
import { gatherMs, predictRun, saturationThreshold } from '../../src/sim/cost.ts';
import { modelPreset } from '../../src/sim/presets/models.ts';
import type { RunShape, SimStrategy } from '../../src/sim/run-shape.ts';
import { traceOf } from '../../src/sim/trace.ts';
import { layerExpertBytes } from '../../src/model/flops.ts';
import { aheadShape } from '../../src/strategy/offload.ts';
import { endUs, type TraceEvent } from '../../src/trace/events.ts';
import { layerOf, summarizeTrace, type TraceSummary } from '../../src/trace/summary.ts';
import type { Settings } from './settings.ts';

const MODEL = modelPreset('qwen3-235b-a22b');
export const MODEL_TITLE = MODEL.title;
/** Of the whole model; all of them have experts. */
export const MODEL_LAYERS = MODEL.config.numHiddenLayers;

/** Passes of each rank: the second shows the gather over the boundary. */
export const PASSES = 2;
/** bf16, on devices and on links. */
export const WEIGHT_BYTES = 2;
/** Of a message or a gather: about what the start of a collective takes within a machine. */
export const LATENCY_MS = 0.01;
/** The paper's double buffer: the gather of a layer is issued when the layer before begins. */
const DEPTH = 1;
/** Longest sequence of a batch, tokens. */
const LONGEST_SEQUENCE = 256;

/** Layers that are simulated: one for each of eight ranks of a pipeline, and a last one, in which only last tokens go through the experts. */
export const LAYERS = 9;

/** The model with the experts of the slider. */
export function modelOf({ experts }: Pick<Settings, 'experts'>, layers = MODEL_LAYERS): ModelConfig {
  const { config } = MODEL;
  return { ...config, numExperts: experts, numExpertsPerTok: Math.min(config.numExpertsPerTok, experts), numHiddenLayers: layers, layerIsMoe: config.layerIsMoe.slice(0, layers) };
}

/**
 * Equal sequences that make up a batch: of {@link LONGEST_SEQUENCE} tokens, or half of that and so on where the batch would not be an even number of them
 * (baselines cut batches in two halves).
 * @param tokens a multiple of 16
 */
export function sequencesOf(tokens: number): { readonly count: number; readonly length: number } {
  let length = LONGEST_SEQUENCE;
  while (tokens % (2 * length) !== 0 && length > 1) length /= 2;
  return { count: tokens / length, length };
}

/** What the simulator is asked: {@link PASSES} batches for each rank, the same for all strategies. */
export function shapeOf(settings: Settings, strategy: SimStrategy): RunShape {
  const { tokens, ranks, linkBytesPerSecond, hostBytesPerSecond, flopsPerSecond, offload } = settings;
  const { count, length } = sequencesOf(tokens);
  return {
    config: modelOf(settings, LAYERS), strategy, ranks, lengths: Array.from({ length: count * ranks * PASSES }, () => length), batchTokens: tokens, candidates: 2,
    flopsPerSecond, link: { bytesPerSecond: linkBytesPerSecond, latencyMs: LATENCY_MS }, wire: 'bf16', weightBytes: WEIGHT_BYTES, dispatch: 'rank', depth: DEPTH,
    ...(offload > 0 && { offload: { layers: offload }, hostBytesPerSecond }),
  };
}

/** Events up to a moment; what the simulator reads ahead for a later run has no end then. */
export function eventsUntil(events: readonly TraceEvent[], endMs: number): TraceEvent[] {
  const lastUs = endMs * 1000;
  return events.filter(({ startUs }) => startUs < lastUs)
    .map((event) => (endUs(event) > lastUs ? { ...event, durationUs: lastUs - event.startUs } : event));
}

export interface SimulatedRun {
  readonly strategy: SimStrategy;
  /** Until the last logits. */
  readonly wallMs: number;
  /** Of the whole schedule: what is read ahead for a later run lies behind `wallMs`. */
  readonly events: readonly TraceEvent[];
  /** Of what happens up to `wallMs`. */
  readonly summary: TraceSummary;
  /** Mean over the ranks. */
  readonly sentBytes: number;
  /** Neither computing nor waiting for bytes: bubbles and stragglers. Mean over the ranks. */
  readonly idleMs: number;
}

/** 0 for what is left of a difference of equal times. */
export const withoutRounding = (differenceMs: number, ofMs: number): number => (differenceMs > 1e-9 * ofMs ? differenceMs : 0);

/** @throws InputError where the model cannot be shared so */
export function simulateRun(shape: RunShape): SimulatedRun {
  const { wallMs, ranks, schedule } = predictRun(shape);
  const events = traceOf(schedule);
  const summary = summarizeTrace(eventsUntil(events, wallMs));
  return {
    strategy: shape.strategy, wallMs, events, summary,
    sentBytes: ranks.reduce((sum, rank) => sum + rank.sentBytes, 0) / ranks.length,
    idleMs: withoutRounding(wallMs - summary.mean.computeMs - summary.mean.exposedMs, wallMs),
  };
}

/** All experts of a layer, as they lie on devices and travel. */
export const layerBytesOf = (settings: Pick<Settings, 'experts'>): number => layerExpertBytes(modelOf(settings), WEIGHT_BYTES);

/** The threshold, and the two times that it is about. */
export interface Threshold {
  /** All experts of a layer, bytes. */
  readonly layerBytes: number;
  /** In which a rank gets its peers' parts of a layer over an idle link; 0: nothing travels. */
  readonly linkMs: number;
  /** In which its own part comes from host memory; 0 without offload. */
  readonly hostMs: number;
  /** t_EP: the slower of the two. */
  readonly transferMs: number;
  /** Compute of a layer in the middle of the model. */
  readonly computeMs: number;
  readonly flopsPerToken: number;
  /** T of a layer, FLOPs: t_EP x F x gamma. */
  readonly flops: number;
  /** T of a batch: that of all layers of the whole model. */
  readonly batchFlops: number;
  /** Tokens of a batch whose compute of a layer has T FLOPs. */
  readonly tokens: number;
  /** Tokens of a batch whose compute of a layer lasts t_EP: T without the margin. */
  readonly hiddenTokens: number;
  /** What compute does not hide of a layer's transfer, where layer follows layer. */
  readonly exposedMs: number;
}

/** Of the layers between the first, which is always there, and the last, which is short. */
const MIDDLE_LAYER = 1;

/** Milliseconds of compute of a layer in the middle, as simulated. */
function layerComputeMs({ events }: SimulatedRun): number {
  const middle = events.find((event) => event.track === 'compute' && layerOf(event) === MIDDLE_LAYER);
  return (middle?.durationUs ?? 0) / 1000;
}

function thresholdOf(settings: Settings, asyncep: SimulatedRun): Threshold {
  const { tokens, flopsPerSecond, gamma, offload } = settings;
  const shape = shapeOf(settings, 'asyncep');
  const transferMs = gatherMs(shape);
  const computeMs = layerComputeMs(asyncep);
  const flopsPerToken = ((computeMs / 1000) * flopsPerSecond) / tokens;
  const flops = saturationThreshold(1, transferMs, flopsPerSecond, gamma);
  return {
    layerBytes: layerBytesOf(settings), linkMs: gatherMs({ ...shape, offload: { layers: 0 } }), hostMs: offload === 0 ? 0 : gatherMs({ ...shape, link: null }), transferMs, computeMs,
    flopsPerToken, flops, batchFlops: saturationThreshold(MODEL_LAYERS, transferMs, flopsPerSecond, gamma), tokens: flops / flopsPerToken,
    hiddenTokens: saturationThreshold(1, transferMs, flopsPerSecond, 1) / flopsPerToken, exposedMs: Math.max(0, transferMs - computeMs),
  };
}

/** What all sections show of the settings. */
export interface Scenario {
  readonly settings: Settings;
  readonly run: SimulatedRun;
  readonly threshold: Threshold;
  /** Slots of a device; 0: nothing travels. */
  readonly slots: number;
}

export function scenarioOf(settings: Settings): Scenario {
  const shape = shapeOf(settings, 'asyncep');
  const run = simulateRun(shape);
  const streamedLayers = shape.config.layerIsMoe.flatMap((isMoe, layer) => (isMoe && layer > 0 ? [layer] : []));
  const { slots } = aheadShape({ settings: { depth: DEPTH, offloadLayers: settings.offload } }, { streamedLayers });
  return { settings, run, threshold: thresholdOf(settings, run), slots: settings.ranks === 1 && settings.offload === 0 ? 0 : slots };
}
