/** Rows that travel between ranks: who gets which, into packets and out of them, and the sum of what comes back. */
import type { GpuDevice } from '../device.ts';
import { cellsOf } from '../matrix.ts';
import type { Kernel } from '../pipelines.ts';
import type { OperandDtype } from '../plan.ts';
import type { Binding, Recorder } from '../recorder.ts';

/** Element types of rows on the wire. f16 saturates (and a device may flush its subnormals); bf16 rounds to nearest even. */
export const WIRE_DTYPES = ['f32', 'f16', 'bf16'] as const;
export type WireDtype = (typeof WIRE_DTYPES)[number];

const WORD_BYTES = 4;
const THREADS = 64;
const MAX_GROUPS = 32768; // lib/wire.wgsl counts groups in lines of this many
/** Destinations of a unit are the bits of a word, and exchange-plan.wgsl keeps so many counters a thread. */
const MAX_WORLD = 8;

/** Entry of `rowOf` where a unit has no row for a rank. */
export const NO_ROW = 0xffff_ffff;

/** Bytes of one row: `hidden` elements, padded to whole words. */
export const rowBytes = (hidden: number, wire: WireDtype): number => packetBytes(hidden, wire, 0);

/** Bytes of one packet: a row, then `choices` expert ids (u32) and as many weights (f32). */
export const packetBytes = (hidden: number, wire: WireDtype, choices: number): number =>
  (rowWords(hidden, wire) + 2 * choices) * WORD_BYTES;

const rowWords = (hidden: number, wire: WireDtype): number => (wire === 'f32' ? hidden : Math.ceil(hidden / 2));
const quadsOf = (elements: number): number => Math.ceil(elements / 4);

/** A workgroup a row of `pieces` cell rows or quads, in lines of workgroups. */
function dispatchRows(recorder: Recorder, kernel: Kernel, rows: number, pieces: number, params: readonly number[], buffers: readonly Binding[]): void {
  recorder.dispatch(kernel, [rows, pieces, ...params], buffers, Math.min(rows, MAX_GROUPS), Math.ceil(rows / MAX_GROUPS));
}

export interface DispatchPlan {
  /** Units of all tokens; unit u has the ids u * choices .. of `ids`. */
  readonly units: number;
  readonly choices: number;
  /** At most 8. */
  readonly world: number;
  readonly ownRank: number;
  /** u32 [units * choices] */
  readonly ids: Binding;
  /** u32 [E]: the rank that has an expert. */
  readonly owners: Binding;
  /** u32 [world]: rows for each rank. */
  readonly counts: Binding;
  /** u32 [world + 1]: first row for each rank; the last is the number of all rows, and the own rank's is the number of rows that travel. */
  readonly starts: Binding;
  /** u32 [units, world]: row of a unit for a rank, or {@link NO_ROW}. */
  readonly rowOf: Binding;
  /** u32 [units * min(world, choices)]: unit of a row. */
  readonly unitOf: Binding;
}

/**
 * Gives unit u a row for rank d when one of its experts is there. Rows are ordered by rank, from the own rank's successor round to the own
 * rank, then by unit: what travels is one range at the front.
 * @throws RangeError for more than 8 ranks
 */
export function dispatchPlan(gpu: GpuDevice, recorder: Recorder, op: DispatchPlan): void {
  if (op.world > MAX_WORLD) throw new RangeError(`dispatchPlan takes at most ${MAX_WORLD} ranks, got ${op.world}`);
  recorder.dispatch(gpu.pipelines.get('exchange-owners', {}), [op.units, op.choices, op.world], [op.ids, op.owners, op.rowOf], Math.ceil(op.units / THREADS));
  recorder.dispatch(gpu.pipelines.get('exchange-plan', {}), [op.units, op.world, op.ownRank], [op.counts, op.starts, op.rowOf, op.unitOf], 1);
}

export interface PackRows {
  /** Most rows there can be. */
  readonly maxRows: number;
  /** u32 [rows]: unit of a row; without it row r is unit r. */
  readonly unitOf?: Binding;
  /** Word `totalIndex` (default 0) is the number of rows that exist; `starts` of {@link DispatchPlan} at `world`, say. With `unitOf` only; rows beyond are left alone. */
  readonly total?: Binding;
  readonly totalIndex?: number;
  readonly unitsPerToken: number;
  /** Ids and weights in a packet; 0: none. */
  readonly choices: number;
  readonly hidden: number;
  readonly wire: WireDtype;
  /** Packed operand [tokens, hidden]. */
  readonly source: Binding;
  readonly sourceType: OperandDtype;
  /** u32 and f32 [units * choices]; needed unless `choices` is 0. */
  readonly ids?: Binding;
  readonly weights?: Binding;
  /** [rows] packets of {@link packetBytes}. */
  readonly out: Binding;
}

/** Row r becomes the packet of unit unitOf[r]: the row of its token, its ids and weights. */
export function packRows(gpu: GpuDevice, recorder: Recorder, op: PackRows): void {
  const meta = op.choices > 0;
  const kernel = gpu.pipelines.get('exchange-pack', { wire: op.wire, aType: op.sourceType, listed: op.unitOf !== undefined, counted: op.total !== undefined, meta });
  const buffers = [op.source, op.out, ...present(op.unitOf, op.total), ...(meta ? required('packRows', op.ids, op.weights) : [])];
  const params = [op.hidden, rowWords(op.hidden, op.wire), op.choices, op.unitsPerToken, op.totalIndex ?? 0];
  dispatchRows(recorder, kernel, op.maxRows, cellsOf(op.hidden), params, buffers);
}

export interface UnpackRows {
  readonly rows: number;
  /** u32 [rows]: the packets to take; otherwise packets 0 .. */
  readonly list?: Binding;
  readonly hidden: number;
  readonly wire: WireDtype;
  /** Ids and weights in a packet; 0: none. */
  readonly choices: number;
  readonly packets: Binding;
  /** Packed operand [rows, hidden]; padded with zeros along k, rows beyond the last are left alone. */
  readonly out: Binding;
  readonly outType: OperandDtype;
  /** u32 and f32 [rows, choices]; needed unless `choices` is 0. */
  readonly ids?: Binding;
  readonly weights?: Binding;
  /** Experts [firstExpert, firstExpert + experts) become 0 .. experts - 1; all others become `experts`, with weight 0. */
  readonly firstExpert: number;
  readonly experts: number;
}

/** Packets into an operand of the experts' products, and their ids into local ones. */
export function unpackRows(gpu: GpuDevice, recorder: Recorder, op: UnpackRows): void {
  const meta = op.choices > 0;
  const kernel = gpu.pipelines.get('exchange-unpack', { wire: op.wire, aType: op.outType, listed: op.list !== undefined, meta });
  const buffers = [op.packets, op.out, ...present(op.list), ...(meta ? required('unpackRows', op.ids, op.weights) : [])];
  const params = [op.hidden, rowWords(op.hidden, op.wire), op.choices, op.firstExpert, op.experts];
  dispatchRows(recorder, kernel, op.rows, cellsOf(op.hidden), params, buffers);
}

/** Rows between f32 and the wire. */
export interface RecodeRows {
  readonly rows: number;
  readonly hidden: number;
  /** Elements from one f32 row to the next, a multiple of 4. */
  readonly stride: number;
  readonly wire: WireDtype;
  readonly from: Binding;
  readonly out: Binding;
}

/** f32 [rows, stride] -> wire rows of {@link rowBytes}. */
export function encodeRows(gpu: GpuDevice, recorder: Recorder, op: RecodeRows): void {
  const kernel = gpu.pipelines.get('exchange-encode', { wire: op.wire });
  dispatchRows(recorder, kernel, op.rows, quadsOf(op.hidden), [op.stride / 4, op.hidden, rowWords(op.hidden, op.wire)], [op.from, op.out]);
}

/** Wire rows -> f32 [rows, stride], zero from `hidden` on. */
export function decodeRows(gpu: GpuDevice, recorder: Recorder, op: RecodeRows): void {
  const kernel = gpu.pipelines.get('exchange-decode', { wire: op.wire });
  dispatchRows(recorder, kernel, op.rows, op.stride / 4, [op.stride / 4, op.hidden, rowWords(op.hidden, op.wire)], [op.from, op.out]);
}

export interface ReduceRows {
  readonly rows: number;
  /** Rows that may be added to each row of x. */
  readonly terms: number;
  readonly hidden: number;
  /** Elements from one row of x to the next, a multiple of 4. */
  readonly stride: number;
  readonly wire: WireDtype;
  /** Wire rows of {@link rowBytes}. */
  readonly from: Binding;
  /** u32 [rows, terms]: where a term stands in `from`, or {@link NO_ROW}. */
  readonly rowOf?: Binding;
  /** Without `rowOf`: term p of row t stands at p * termStride + t; default `rows`. */
  readonly termStride?: number;
  /** f32 [rows, stride] */
  readonly x: Binding;
}

/** x[t] += sum_p from[row of (t, p)], p = 0 .. terms - 1 in this order, the sum in f32. */
export function reduceRows(gpu: GpuDevice, recorder: Recorder, op: ReduceRows): void {
  const kernel = gpu.pipelines.get('exchange-reduce', { wire: op.wire, listed: op.rowOf !== undefined });
  const params = [op.stride / 4, op.hidden, rowWords(op.hidden, op.wire), op.terms, op.termStride ?? op.rows];
  dispatchRows(recorder, kernel, op.rows, quadsOf(op.hidden), params, [op.from, op.x, ...present(op.rowOf)]);
}

const present = (...bindings: readonly (Binding | undefined)[]): Binding[] => bindings.filter((binding) => binding !== undefined);

function required(name: string, ids: Binding | undefined, weights: Binding | undefined): Binding[] {
  if (!ids || !weights) throw new TypeError(`${name}: packets with choices need buffers of ids and of weights`);
  return [ids, weights];
}
