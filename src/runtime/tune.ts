/**
 * Chooses the variant of each kernel by timing a short list on the device itself. The default comes first and stays unless another is clearly
 * faster, so that noise does not make two starts differ; a variant that computes nonsense on this driver is dropped.
 */
import { DeviceError } from '../errors.ts';
import type { GpuDevice } from './device.ts';
import { attention, BLOCK_TOKENS, kvBytes } from './kernels/attention.ts';
import { groupedMatmul, groupedSwiglu, matmul, type ExpertTiles } from './kernels/matmul.ts';
import { packedBytes, padTo, type PackedDtype } from './layout.ts';
import { FILL, filledBuffer, filledMatrix, filledOperand, timeRuns, type RecordRun } from './matmul-rate.ts';
import { attentionRows, defaultPlan, tileRows, type AttentionShape, type KernelPlan, type MatmulShape, type OperandDtype } from './plan.ts';
import { Recorder } from './recorder.ts';

export interface TuneOptions {
  /** Type of the weights on the device. */
  readonly weightDtype: PackedDtype;
  readonly headDim: number;
  /** Whether activations may be rounded to f16 where they enter an expert (where the adapter has f16 and it pays). */
  readonly allowF16?: boolean;
  /** A line for every variant that was timed. */
  readonly log?: (line: string) => void;
  /** No further variant is begun when the time is up: compiling one takes seconds on a software adapter. */
  readonly budgetMs?: number;
}

/** What decides which variants a device can run. */
export interface TuneTarget {
  /** 0 where it is not fixed. */
  readonly subgroupSize: number;
  readonly hasF16: boolean;
}

export interface Candidates {
  readonly dense: readonly MatmulShape[];
  readonly grouped: readonly MatmulShape[];
  readonly attention: readonly AttentionShape[];
  readonly experts: readonly OperandDtype[];
}

const TILED = { kind: 'tiled' } as const;

const sameShape = (a: object, b: object): boolean => JSON.stringify(a) === JSON.stringify(b);
const distinct = <T extends object>(list: readonly T[]): T[] => list.filter((one, i) => list.findIndex((other) => sameShape(one, other)) === i);

/**
 * Variants that the adapter can run, the default first. Broadcast shapes are for its own subgroup size. The tiled ones run anywhere: they come
 * first where they are the default, and otherwise last, for a driver on which nothing else computes correctly.
 */
export function candidates(target: TuneTarget, allowF16 = false): Candidates {
  const { subgroupSize: L, hasF16 } = target;
  const plan = defaultPlan(target);
  const fixed = L >= 4 && L <= 64;
  const product = (R: number, C: number): MatmulShape => ({ kind: 'broadcast', L, R, C });
  // Larger tiles load less for each product, but compile longer and waste more on experts with few rows; SwiftShader (4 lanes) compiles quickly.
  const dense = L === 4 ? product(16, 8) : product(Math.min(2 * L, 32), 4);
  const grouped = L === 4 ? product(16, 8) : product(16, 2);
  const queries: AttentionShape = { kind: 'broadcast', L, QB: L > 16 ? 1 : 2, KT: 16 };
  return {
    dense: distinct([plan.dense, ...(fixed ? [dense] : []), TILED]),
    grouped: distinct([plan.grouped, ...(fixed ? [grouped] : []), TILED]),
    attention: distinct([plan.attention, ...(fixed ? [queries] : []), TILED]),
    experts: hasF16 && allowF16 ? ['f32', 'f16'] : ['f32'],
  };
}

export interface Timing<T> {
  readonly candidate: T;
  readonly ms: number;
}

/** How much faster than the default a variant must be to replace it. */
const MARGIN = 0.05;
/** The same for rounding the experts' operands, which costs accuracy. */
const F16_MARGIN = 0.08;

/** The fastest, or the first of the list when that is hardly slower. */
export function choose<T>(timings: readonly Timing<T>[], margin = MARGIN): Timing<T> {
  const [first] = timings;
  if (first === undefined) throw new DeviceError('no variant of a kernel computes correctly on this adapter; is its driver up to date?');
  const best = timings.reduce((a, b) => (b.ms < a.ms ? b : a));
  return best.ms < first.ms * (1 - margin) ? best : first;
}

/** A problem to time variants on. */
interface Problem<T> {
  readonly run: (candidate: T) => RecordRun;
  /** An element of the result, and what it must be. */
  readonly result: GPUBuffer;
  readonly expected: number;
  readonly buffers: readonly GPUBuffer[];
}

type Make<T> = (large: boolean) => Problem<T>;

const STORAGE = (): GPUBufferUsageFlags => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;

function uploadWords(gpu: GpuDevice, words: readonly number[]): GPUBuffer {
  const data = Uint32Array.from(words);
  const buffer = gpu.createBuffer('measure/index', data.byteLength, STORAGE());
  gpu.upload(buffer, new Uint8Array(data.buffer));
  return buffer;
}

const output = (gpu: GpuDevice, bytes: number): GPUBuffer => gpu.createBuffer('measure/out', bytes, STORAGE());

function denseProblem(gpu: GpuDevice, dtype: PackedDtype, large: boolean): Problem<MatmulShape> {
  const [rows, columns, k] = large ? [2048, 2048, 2048] : [128, 256, 512];
  const a = filledOperand(gpu, rows, k, 'f32');
  const b = filledMatrix(gpu, columns, k, dtype);
  const out = output(gpu, rows * columns * 4);
  return {
    run: (shape) => (recorder) => matmul(gpu, recorder, { shape, a, aType: 'f32', b, rows, out, outStride: columns }),
    result: out, expected: k * FILL ** 2, buffers: [a, out, ...b.banks.map(({ buffer }) => buffer)],
  };
}

/** Rows of eight experts in turn: full tiles, tails and nearly nothing, as routing makes them; 28 on average. */
const EXPERT_ROWS = [64, 32, 17, 5, 40, 1, 29, 36];

interface Grouped {
  readonly shape: MatmulShape;
  readonly type: OperandDtype;
}

function groupedProblem(gpu: GpuDevice, dtype: PackedDtype, types: readonly OperandDtype[], large: boolean): Problem<Grouped> {
  const [width, hidden] = large ? [512, 1024] : [128, 512];
  const downOffset = packedBytes(2 * width, hidden, dtype);
  const expertBytes = downOffset + packedBytes(hidden, width, dtype);
  const experts = Math.min(large ? 32 : 8, Math.floor(gpu.maxBindingBytes / expertBytes));
  const gate = hidden * FILL ** 2;
  const counts = Array.from({ length: experts }, (_, expert) => EXPERT_ROWS[expert % EXPERT_ROWS.length] as number);
  const rows = counts.reduce((sum, count) => sum + count, 0);
  const weights = filledBuffer(gpu, experts * expertBytes, dtype);
  const inputs = new Map(types.map((type) => [type, { a: filledOperand(gpu, rows, hidden, type), act: output(gpu, packedBytes(rows, width, type)) }]));
  const y = output(gpu, rows * hidden * 4);
  const rowToken = uploadWords(gpu, Array.from({ length: rows }, (_, row) => row));
  const listed = new Map<number, ExpertTiles & { tiles: GPUBuffer; tileBase: GPUBuffer }>();
  const tilesFor = (most: number) => {
    const known = listed.get(most);
    if (known) return known;
    const tiles: number[] = [];
    const tileBase = [0];
    let start = 0;
    counts.forEach((count, expert) => {
      for (let at = 0; at < count; at += most) tiles.push(expert, start + at, Math.min(most, count - at), 0);
      start += count;
      tileBase.push(tiles.length / 4);
    });
    const made = { tiles: uploadWords(gpu, tiles), tileBase: uploadWords(gpu, tileBase), maxTiles: tiles.length / 4 };
    listed.set(most, made);
    buffers.push(made.tiles, made.tileBase);
    return made;
  };
  const buffers = [weights, y, rowToken, ...[...inputs.values()].flatMap(({ a, act }) => [a, act])];
  const banks = [{ buffer: weights, firstExpert: 0, experts, expertBytes }];
  return {
    run: ({ shape, type }) => {
      const { a, act } = inputs.get(type)!;
      const common = { shape, aType: type, bType: dtype, banks, sorted: tilesFor(tileRows(shape)) };
      return (recorder) => {
        groupedSwiglu(gpu, recorder, { ...common, a, k: hidden, columns: width, matrixOffset: 0, out: act, upRow: width, rowToken });
        groupedMatmul(gpu, recorder, { ...common, a: act, k: width, columns: hidden, matrixOffset: downOffset, out: y });
      };
    },
    result: y, expected: width * FILL * gate * (gate / (1 + Math.exp(-gate))), buffers, // silu(gate) * up, and gate = up
  };
}

function attentionProblem(gpu: GpuDevice, headDim: number, large: boolean): Problem<AttentionShape> {
  const [tokens, heads] = large ? [2048, 8] : [256, 4];
  const blocks = tokens / BLOCK_TOKENS;
  const q = filledBuffer(gpu, tokens * heads * headDim * 4, 'f32');
  const keys = filledBuffer(gpu, kvBytes(blocks, heads, headDim, 'f32'), 'f32');
  const values = filledBuffer(gpu, kvBytes(blocks, heads, headDim, 'f32'), 'f32');
  const blockTable = uploadWords(gpu, Array.from({ length: blocks }, (_, i) => i));
  const out = output(gpu, packedBytes(tokens, padTo(heads * headDim, 8), 'f32'));
  const buffers = [q, keys, values, blockTable, out];
  const listed = new Map<number, GPUBuffer>();
  return {
    run: (shape) => {
      const rows = attentionRows(shape);
      const tileCount = Math.ceil(tokens / rows);
      let tiles = listed.get(rows);
      if (!tiles) {
        tiles = uploadWords(gpu, Array.from({ length: tileCount }, (_, i) => [i * rows, Math.min(rows, tokens - i * rows), i * rows, 0]).flat());
        listed.set(rows, tiles);
        buffers.push(tiles);
      }
      const op = { shape, headDim, queryHeads: heads, kvHeads: heads, type: 'f32', q, kv: { keys, values }, tiles, tileCount, blockTable, out } as const;
      return (recorder) => attention(gpu, recorder, op);
    },
    result: out, expected: FILL, buffers, // a weighted mean of equal values
  };
}

/** Below this the small problem says more about launching than about computing. */
const TOO_QUICK_MS = 1.5;
/** Relative error above which a variant does not work (f16 rounds by 5e-4). */
const WRONG = 1e-2;
const ROUNDS = 3;
const SAMPLE_MS = 25;
const DEFAULT_BUDGET_MS = 8000;

class Tuner {
  private readonly recorder: Recorder;

  constructor(private readonly gpu: GpuDevice, private readonly log: (line: string) => void) {
    this.recorder = new Recorder(gpu);
  }

  /**
   * Times the list in order, on a problem that fits the device, and begins no candidate that would end after `end`, except the first.
   * A last resort is tried only when nothing before it works.
   */
  async time<T extends object>(kernel: string, list: readonly T[], make: Make<T>, end: number, isLastResort: (candidate: T) => boolean): Promise<Timing<T>[]> {
    const [first] = list;
    if (first === undefined) return [];
    const problem = await this.fitting(first, make);
    const timings: Timing<T>[] = [];
    let longestMs = 0;
    for (const candidate of list) {
      if (timings.length > 0 && (isLastResort(candidate) || performance.now() + longestMs > end)) continue;
      const start = performance.now();
      const works = await this.run(problem, candidate);
      const ms = works ? await this.best(problem.run(candidate)) : Infinity;
      longestMs = Math.max(longestMs, performance.now() - start);
      if (works) timings.push({ candidate, ms });
      this.log(`${kernel} ${JSON.stringify(candidate)}: ${works ? `${ms.toFixed(2)} ms` : 'wrong result, dropped'}`);
    }
    this.release(problem);
    return timings;
  }

  /** The small problem, or the large one on a device that is done with the small one at once. */
  private async fitting<T>(first: T, make: Make<T>): Promise<Problem<T>> {
    const problem = make(false);
    await this.run(problem, first);
    if ((await timeRuns(this.gpu, this.recorder, problem.run(first), 1)) >= TOO_QUICK_MS) return problem;
    this.release(problem);
    return make(true);
  }

  /** Runs once (compiles) and looks at an element. */
  private async run<T>(problem: Problem<T>, candidate: T): Promise<boolean> {
    this.gpu.upload(problem.result, new Uint8Array(4));
    await timeRuns(this.gpu, this.recorder, problem.run(candidate), 1);
    const [value = NaN] = new Float32Array(await this.gpu.read(problem.result, 4));
    return Math.abs(value / problem.expected - 1) < WRONG;
  }

  /** Noise only slows: the least of several. */
  private async best(run: RecordRun): Promise<number> {
    const once = await timeRuns(this.gpu, this.recorder, run, 1);
    const repeats = Math.max(1, Math.round(SAMPLE_MS / once));
    let ms = once;
    for (let round = 0; round < ROUNDS; round++) ms = Math.min(ms, (await timeRuns(this.gpu, this.recorder, run, repeats)) / repeats);
    return ms;
  }

  private release(problem: { readonly buffers: readonly GPUBuffer[] }): void {
    for (const buffer of problem.buffers) this.gpu.destroyBuffer(buffer);
  }

  close(): void {
    this.recorder.destroy();
  }
}

/** Experts first: most of a pass is theirs. */
const EXPERTS_SHARE = 0.6;

const isTiled = ({ kind }: MatmulShape | AttentionShape): boolean => kind === 'tiled';

/** The experts' shape and operand type: f32 first, then whether f16 pays, then other shapes with the type that won. */
async function tuneGrouped(tuner: Tuner, gpu: GpuDevice, { grouped, experts }: Candidates, dtype: PackedDtype, end: number): Promise<Grouped> {
  const make = (large: boolean): Problem<Grouped> => groupedProblem(gpu, dtype, experts, large);
  const [first = TILED, ...others] = grouped;
  const time = (list: readonly Grouped[], lastResort: (shape: MatmulShape) => boolean): Promise<Timing<Grouped>[]> =>
    tuner.time('experts', list, make, end, ({ shape }) => lastResort(shape));
  const byType = await time(experts.map((type) => ({ shape: first, type })), () => false);
  const base = byType.length > 0 ? [choose(byType, F16_MARGIN)] : [];
  const type = base[0]?.candidate.type ?? 'f32';
  const rest = others.filter((shape) => base.length === 0 || !isTiled(shape)).map((shape) => ({ shape, type }));
  const inTime = base.length === 0 || performance.now() < end;
  return choose([...base, ...(inTime ? await time(rest, isTiled) : [])]).candidate;
}

/** The only candidate that is not a last resort needs no timing. */
async function tuneShape<T extends MatmulShape | AttentionShape>(tuner: Tuner, kernel: string, list: readonly T[], make: Make<T>, end: number): Promise<T> {
  const [first] = list;
  const lastResort = (shape: T): boolean => isTiled(shape) && shape !== first;
  if (first !== undefined && (performance.now() > end || !list.some((shape) => shape !== first && !lastResort(shape)))) return first;
  return choose(await tuner.time(kernel, list, make, end, lastResort)).candidate;
}

/**
 * The plan for this device: a second or two on a GPU, a few seconds on a software adapter whose driver has not compiled the variants
 * before. Attention's operands stay f32: rounding before the softmax costs accuracy that no speed buys back.
 */
export async function tunePlan(gpu: GpuDevice, options: TuneOptions): Promise<KernelPlan> {
  const { weightDtype, headDim, allowF16 = false, log = () => undefined, budgetMs = DEFAULT_BUDGET_MS } = options;
  const list = candidates(gpu, allowF16);
  const start = performance.now();
  const tuner = new Tuner(gpu, log);
  try {
    const grouped = await tuneGrouped(tuner, gpu, list, weightDtype, start + EXPERTS_SHARE * budgetMs);
    const end = start + budgetMs;
    const dense = await tuneShape(tuner, 'dense', list.dense, (large) => denseProblem(gpu, weightDtype, large), end);
    const attended = await tuneShape(tuner, 'attention', list.attention, (large) => attentionProblem(gpu, headDim, large), end);
    return { operands: { attention: 'f32', experts: grouped.type }, dense, grouped: grouped.shape, attention: attended };
  } finally {
    tuner.close();
  }
}

/** FNV-1a over UTF-16 units, as hexadecimal. */
function hashText(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0');
}

/** Hash of the expanded text of every variant that {@link tunePlan} may time: another shader set is measured anew. */
function shaderVersion(gpu: GpuDevice, { weightDtype, headDim, allowF16 = false }: TuneOptions): string {
  const list = candidates(gpu, allowF16);
  const product = { aType: 'f32', bType: weightDtype, out: 'rows', swiglu: false, gatherA: false, accumulate: false, bias: false };
  const texts = [
    ...list.dense.map(({ kind, ...size }) => gpu.renderer.render(`matmul-${kind}`, { ...product, ...size, grouped: false })),
    ...list.grouped.map(({ kind, ...size }) => gpu.renderer.render(`matmul-${kind}`, { ...product, ...size, grouped: true })),
    ...list.attention.map(({ kind, ...size }) => gpu.renderer.render(`attention-${kind}`, { ...size, d: headDim, kvType: 'f32', aType: 'f32' })),
  ];
  return hashText(texts.join('\0'));
}

/** What a plan depends on: adapter and driver, weights, head dimension, what was allowed, the shaders. */
export const tuningKey = (gpu: GpuDevice, options: TuneOptions): string =>
  [gpu.name, options.weightDtype, `d${options.headDim}`, options.allowF16 === true && gpu.hasF16 ? 'f16 allowed' : 'f32', shaderVersion(gpu, options)].join(' | ');
