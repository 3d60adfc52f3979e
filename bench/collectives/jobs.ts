/** What the parent asks of the rank processes, and what they answer. */

export const MEASURED = ['allGather', 'reduceScatter', 'allReduce', 'allToAll'] as const;
export type MeasuredOperation = (typeof MEASURED)[number];

/** Everything that can be timed; a rank repeats it `iterations` times and answers with the time of one. */
export type Timed =
  | { readonly kind: 'collective'; readonly transport: string; readonly operation: MeasuredOperation; readonly bytes: number }
  /** Copies from memory to memory on `threads` threads of each rank. */
  | { readonly kind: 'memcpy'; readonly bytes: number; readonly threads: number }
  /** A stream to the next rank while one from the rank before is read (and dropped). */
  | { readonly kind: 'tcp'; readonly bytes: number }
  /** One layer's experts of all peers into mapped buffers of the device. */
  | { readonly kind: 'gather'; readonly transport: string };

export type Job =
  | { readonly kind: 'open'; readonly runId: string; readonly rank: number; readonly world: number }
  | { readonly kind: 'connect'; readonly addresses: readonly Record<string, string>[] }
  | { readonly kind: 'publish'; readonly shard: ShardShape; readonly adapter: string }
  | { readonly kind: 'openShards'; readonly shard: ShardShape; readonly addresses: readonly Record<string, string>[] }
  | { readonly kind: 'time'; readonly timed: Timed; readonly iterations: number };

export interface ShardShape {
  readonly expertsPerRank: number;
  readonly expertBytes: number;
}

/** Of a shard: they are gathered in turn. */
export const LAYERS = 2;

export interface Took {
  readonly ms: number;
  /** Of all threads of the process. */
  readonly cpuMs: number;
}

export interface Answer {
  readonly error?: string;
  /** To `open` and `publish`, by transport. */
  readonly addresses?: Record<string, string>;
  /** To `time`: of one iteration. */
  readonly took?: Took;
}

/** Factor from S / t to bus bandwidth, as nccl-tests define it for `world` ranks (S: bytes of the whole on one rank). */
export const busFactor = (operation: MeasuredOperation, world: number): number => (operation === 'allReduce' ? 2 : 1) * (world - 1) / world;
