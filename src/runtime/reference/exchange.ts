/** Reference of what travels between ranks: the dispatch plan, packets as bytes, and the sum of what comes back. */
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../model/float16.ts';
import { NO_ROW, packetBytes, rowBytes, type WireDtype } from '../kernels/exchange.ts';
import { matrixOf, row, type Matrix } from './tensor.ts';

export interface Plan {
  /** Rows for each rank. */
  readonly counts: number[];
  /** First row for each rank; the last is the number of all rows. */
  readonly starts: number[];
  /** [units, world] */
  readonly rowOf: number[];
  /** [rows] */
  readonly unitOf: number[];
}

/** Rows by rank (own + 1, .., own), inside a rank by unit; unit u chose the experts ids[u * choices ..]. */
export function dispatchPlan(ids: readonly number[], choices: number, owners: readonly number[], world: number, ownRank: number): Plan {
  const units = ids.length / choices;
  const plan: Plan = { counts: Array(world).fill(0), starts: Array(world + 1).fill(0), rowOf: Array(units * world).fill(NO_ROW), unitOf: [] };
  for (let j = 1; j <= world; j++) {
    const rank = (ownRank + j) % world;
    plan.starts[rank] = plan.unitOf.length;
    for (let unit = 0; unit < units; unit++) {
      if (!ids.slice(unit * choices, (unit + 1) * choices).some((id) => owners[id] === rank)) continue;
      plan.rowOf[unit * world + rank] = plan.unitOf.length;
      plan.unitOf.push(unit);
    }
    plan.counts[rank] = plan.unitOf.length - plan.starts[rank]!;
  }
  plan.starts[world] = plan.unitOf.length;
  return plan;
}

const F16_MAX = 65504;

/** How one element travels: nearest even, f16 saturated. */
const codec = {
  f32: { bytes: 4, set: (view: DataView, at: number, v: number) => view.setFloat32(at, v, true), get: (view: DataView, at: number) => view.getFloat32(at, true) },
  f16: {
    bytes: 2,
    set: (view: DataView, at: number, v: number) => view.setUint16(at, f32ToF16(Math.min(Math.max(v, -F16_MAX), F16_MAX)), true),
    get: (view: DataView, at: number) => f16ToF32(view.getUint16(at, true)),
  },
  bf16: { bytes: 2, set: (view: DataView, at: number, v: number) => view.setUint16(at, f32ToBf16(v), true), get: (view: DataView, at: number) => bf16ToF32(view.getUint16(at, true)) },
} satisfies Record<WireDtype, unknown>;

/** What a packet carries beside its row. */
export interface Chosen {
  readonly ids: readonly number[];
  readonly weights: readonly number[];
}

/** Rows as packets back to back; without `chosen` as plain wire rows. */
export function encode(rows: Matrix, wire: WireDtype, chosen?: readonly Chosen[]): Uint8Array {
  const choices = chosen?.[0]?.ids.length ?? 0;
  const stride = packetBytes(rows.columns, wire, choices);
  const view = new DataView(new ArrayBuffer(rows.rows * stride));
  const { bytes, set } = codec[wire];
  for (let r = 0; r < rows.rows; r++) {
    row(rows, r).forEach((v, c) => set(view, r * stride + c * bytes, v));
    const tail = r * stride + rowBytes(rows.columns, wire);
    chosen?.[r]?.ids.forEach((id, j) => view.setUint32(tail + 4 * j, id, true));
    chosen?.[r]?.weights.forEach((weight, j) => view.setFloat32(tail + 4 * (choices + j), weight, true));
  }
  return new Uint8Array(view.buffer);
}

/** The rows of packets. */
export function decode(packets: Uint8Array, hidden: number, wire: WireDtype, choices = 0): Matrix {
  const stride = packetBytes(hidden, wire, choices);
  const view = new DataView(packets.buffer, packets.byteOffset, packets.byteLength);
  const { bytes, get } = codec[wire];
  return matrixOf(packets.byteLength / stride, hidden, (r, c) => get(view, r * stride + c * bytes));
}

/** Ids of experts [first, first + experts) counted from the first; all others become `experts` with weight 0. */
export const localised = ({ ids, weights }: Chosen, first: number, experts: number): Chosen => {
  const here = ids.map((id) => id >= first && id < first + experts);
  return { ids: ids.map((id, j) => (here[j] ? id - first : experts)), weights: weights.map((weight, j) => (here[j] ? weight : 0)) };
};

/** x[t] + sum over p of from[rowOf[t * terms + p]], {@link NO_ROW} left out. */
export const reduceRows = (x: Matrix, from: Matrix, rowOf: readonly number[], terms: number): Matrix =>
  matrixOf(x.rows, x.columns, (t, c) =>
    rowOf.slice(t * terms, (t + 1) * terms).reduce((sum, r) => (r === NO_ROW ? sum : sum + from.values[r * from.columns + c]!), x.values[t * x.columns + c]!));
