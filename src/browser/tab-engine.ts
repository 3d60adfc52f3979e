/** A tab as the only rank of its world: the engine of a server, on the browser's device, with AsyncEP's slots filled over the network. */
import { computeEvents } from '../cluster/compute-trace.ts';
import { DeviceClock } from '../cluster/device-clock.ts';
import type { ShardGeometry } from '../collective/transport.ts';
import { createEngine, expertLayout, storedDtype, type Batch, type Engine } from '../engine/index.ts';
import type { SlotStream } from '../engine/slot-stream.ts';
import { InputError } from '../errors.ts';
import type { ModelConfig, ModelWeights } from '../model/types.ts';
import type { GpuDevice } from '../runtime/device.ts';
import { createStream, type CountedStream, type StreamEvent, type StreamSettings, type StreamStrategy } from '../strategy/index.ts';
import type { TraceEvent } from '../trace/events.ts';
import { expertReader } from './expert-reader.ts';
import { TabTrace } from './tab-trace.ts';

/** How far something is that takes a while. */
export interface Progress {
  /** `weights`: layers loaded onto the device. `layers`: layers of a pass handed to the device. */
  readonly step: 'weights' | 'layers';
  readonly done: number;
  readonly of: number;
}
export type OnProgress = (progress: Progress) => void;

/** Told as they happen, until the next call: reads ahead for its pass, too. What the device's own clock says comes when a pass is over. */
export type OnTrace = (event: TraceEvent) => void;

export interface TabEngineOptions {
  /** `asyncep` by default; `sync` fetches a layer only when it is asked for, `resident` fetches all once. */
  readonly strategy?: StreamStrategy;
  /** Over what a tab starts with, see {@link TAB_SETTINGS}. */
  readonly stream?: Partial<StreamSettings>;
  readonly onProgress?: OnProgress;
}

/**
 * All streamed experts are this tab's own, and they stay on the server: the paper's single device mode, with a window of one layer, which makes two
 * slots. A network may stand still for longer than shared memory.
 */
export const TAB_SETTINGS = { offloadLayers: 1, deadlineMs: 60_000 } as const satisfies Partial<StreamSettings>;

export interface TabPass {
  /** [sequences, candidates] */
  readonly logits: Float32Array;
  /** This engine's count, from 0. */
  readonly pass: number;
  readonly tokens: number;
  /** True FLOPs. */
  readonly flops: number;
  /** From the call to the answer, waiting for earlier calls left out. */
  readonly wallMs: number;
  /** Bytes of packed experts that were streamed for this pass. */
  readonly streamedBytes: number;
  /** Sum over its layers: from the first request for a layer until all of it lies packed in staging memory. */
  readonly gatherMs: number;
  /** Time in which the device had nothing to do but to wait for experts. */
  readonly exposedMs: number;
  /** Everything that belongs to this pass, on `performance.now()`; gathers that ran ahead begin before it. */
  readonly trace: readonly TraceEvent[];
}

function geometryOf({ config, modelHash }: ModelWeights): ShardGeometry {
  const dtype = storedDtype(config);
  const layers = config.layerIsMoe.flatMap((isMoe, layer) => (isMoe ? [layer] : []));
  if (layers.length === 0) throw new InputError('config.json', 'mlp_only_layers', 'leaves no layer with experts; expected a mixture-of-experts model');
  return { modelHash, dtype, world: 1, numExperts: config.numExperts, expertBytes: expertLayout(config, dtype).expertBytes, layers };
}

export class TabEngine {
  readonly #clock = new DeviceClock();
  #last: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly gpu: GpuDevice,
    readonly config: ModelConfig,
    private readonly engine: Engine,
    private readonly stream: CountedStream,
    private readonly layerBytes: number,
    private readonly trace: TabTrace,
  ) {}

  /**
   * Loads what stays on the device, compiles the kernels, and begins to fetch the first experts that travel. An engine whose fetch failed stays
   * failed: open another.
   * @param gpu the engine's from now on
   * @throws InputError for a model that the kernels cannot run, DeviceError when the device refuses
   */
  static async open(weights: ModelWeights, gpu: GpuDevice, options: TabEngineOptions = {}): Promise<TabEngine> {
    const { strategy = 'asyncep', onProgress } = options;
    const geometry = geometryOf(weights);
    const engine = await createEngine(gpu, weights, { timestamps: true, onLayerLoaded: (done, of) => onProgress?.({ step: 'weights', done, of }) });
    const trace = new TabTrace(gpu.hasTimestamps);
    const stream = await createStream(strategy, {
      device: gpu.device, wait: (promise) => gpu.wait(promise), createBuffer: (label, size, usage) => gpu.createBuffer(label, size, usage),
      destroyBuffer: (buffer) => gpu.destroyBuffer(buffer),
      rank: 0, geometry, readers: [expertReader(weights, storedDtype(weights.config))], bankBytes: gpu.maxBindingBytes,
      settings: { ...TAB_SETTINGS, ...(strategy === 'resident' && { offloadLayers: 0 }), timeCopies: gpu.hasTimestamps, ...options.stream },
      trace: (event: StreamEvent) => trace.streamed(event),
    });
    return new TabEngine(gpu, weights.config, engine, stream, geometry.numExperts * geometry.expertBytes, trace);
  }

  /** One pass; calls wait for each other. @throws InputError for tokens that the model does not know, DeviceError when the device is lost */
  forward(batch: Batch, onTrace?: OnTrace, onProgress?: OnProgress): Promise<TabPass> {
    const pass = this.#last.then(() => this.#forward(batch, onTrace, onProgress));
    this.#last = pass.catch(() => undefined);
    return pass;
  }

  async #forward(batch: Batch, onTrace?: OnTrace, onProgress?: OnProgress): Promise<TabPass> {
    this.trace.listener = onTrace;
    const { logits, stats: { pass, tokens, flops, startMs, endMs } } = await this.engine.forward(batch, this.#told(onProgress));
    for (const event of computeEvents(await this.engine.takeIntervals(), this.#clock, () => pass)) this.trace.computed(event);
    const { total, copies } = this.stream.takeStats();
    for (const copy of copies) this.trace.copied(copy, this.#clock);
    const trace = this.trace.take(pass);
    const gathers = trace.filter(({ track }) => track === 'receive');
    return {
      logits, pass, tokens, flops, wallMs: endMs - startMs, exposedMs: total.exposedMs, trace,
      streamedBytes: gathers.length * this.layerBytes, gatherMs: gathers.reduce((sum, { durationUs }) => sum + durationUs / 1e3, 0),
    };
  }

  /** The stream, telling each layer that was handed to the device. */
  #told(onProgress: OnProgress | undefined): SlotStream {
    const { stream, config } = this;
    if (onProgress === undefined) return stream;
    return {
      begin: (pass) => stream.begin(pass),
      ready: (layer) => stream.ready(layer),
      done: (layer) => {
        stream.done(layer);
        onProgress({ step: 'layers', done: layer + 1, of: config.numHiddenLayers });
      },
      end: () => stream.end(),
      close: () => stream.close(),
    };
  }

  /** After the passes asked for so far: ends the stream and gives the device back. The model stays open. */
  async close(): Promise<void> {
    await this.#last;
    await this.stream.close();
    this.gpu.close();
  }
}
