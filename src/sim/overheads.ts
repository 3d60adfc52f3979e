/**
 * What ranks spend beside true FLOPs and bytes on the link. On a software adapter the host's work takes the very cores that compute, so all but {@link Overheads.noticeMs}
 * keeps a rank's device busy. `npm run bench:calibration` fits these to real runs; nothing of it by default.
 */
import { hashWords } from './random.ts';

export interface Overheads {
  /** Of a layer of a pass, however few its rows: its kernels are recorded and launched. */
  readonly layerMs?: number;
  /** Of an exchange of rows on a rank: kernels that pack and unpack are launched, buffers are mapped. */
  readonly exchangeMs?: number;
  /** Of each peer in it: a message is sent, one is received. */
  readonly messageMs?: number;
  /** Between rows that are ready and rows that are noticed at the other end, beside the latency of the link: turns of two event loops. Nobody is busy meanwhile. */
  readonly noticeMs?: number;
  /** At which a rank packs, copies and unpacks rows, and copies experts to a slot. */
  readonly copyBytesPerSecond?: number;
  /** Cores that a rank has for all this, where its device is made of them; 1 by default. */
  readonly cores?: number;
  /** Coefficient of variation of the times of compute steps: a layer takes a little longer on one rank than on the other. Below 0.5. */
  readonly jitter?: number;
  /** Of the jitter; equal seeds give equal runs. */
  readonly seed?: number;
}

/** What a compute step does beside its FLOPs. */
export interface Extra {
  readonly layers?: number;
  readonly exchanges?: number;
  readonly messages?: number;
  readonly copiedBytes?: number;
}

/** Milliseconds of a rank's device. */
export const extraMs = ({ layerMs = 0, exchangeMs = 0, messageMs = 0, copyBytesPerSecond = Infinity, cores = 1 }: Overheads, { layers = 0, exchanges = 0, messages = 0, copiedBytes = 0 }: Extra): number =>
  (layers * layerMs + exchanges * exchangeMs + messages * messageMs + (copiedBytes / copyBytesPerSecond) * 1000) / cores;

/** What the `count`-th step of a rank takes, as a multiple of its mean: evenly spread over 1 +- sqrt(3) jitter. */
export function jitterFactor({ jitter = 0, seed = 0 }: Overheads, rank: number, count: number): number {
  return jitter === 0 ? 1 : 1 + jitter * Math.sqrt(3) * (2 * (hashWords(seed, rank, count) / 2 ** 32) - 1);
}
