/**
 * A rank without a device: its experts are a few bytes, its "logits" tell which rank ran what. Lets the protocol be tested fast.
 * Behaviour is chosen by options of the engine: `{ "slowMs": 50, "failAt": "prepare", "failRank": 1, "hangAt": "forward", ... }`, from when
 * the file `since` is there, or at once; and by first tokens of sequences, see {@link OMENS}.
 */
import { closeSync, existsSync, openSync, statSync, writeSync } from 'node:fs';
import { SharedMemoryTransport } from '../../src/collective/shared-memory.ts';
import { sampleExpert, sampleGeometry } from '../collective/sample-shards.ts';
import type { OpenBackend, RankBatch } from '../../src/cluster/backend.ts';
import { InputError } from '../../src/errors.ts';
import { partitionExperts } from '../../src/collective/partition.ts';
import { StreamCounter } from '../../src/strategy/stats.ts';

/** From now on a segment of this process is damaged as soon as it is published: one byte, counted from the end if negative. */
function damagePublished(position: number): void {
  const publish = SharedMemoryTransport.prototype.publish;
  SharedMemoryTransport.prototype.publish = async function (geometry, pack) {
    const path = await publish.call(this, geometry, pack);
    const file = openSync(path, 'r+');
    const at = position < 0 ? statSync(path).size + position : position;
    writeSync(file, Uint8Array.of(0xa5), 0, 1, at);
    closeSync(file);
    return path;
  };
}

/** First tokens at which a rank refuses the batch, fails, dies, hangs, or waits until the file `gate` is there. */
export const OMENS = { refuse: 900_001, fail: 900_002, die: 900_003, hang: 900_004, wait: 900_005 } as const;
/** The "vocabulary": larger tokens are refused before a rank hears of them. */
export const VOCABULARY = 1_000_000;

async function heed({ sequences }: RankBatch, gate = ''): Promise<void> {
  const first = new Set(sequences.map(([token]) => token));
  if (first.has(OMENS.refuse)) throw new InputError('batch', 'tokens', 'are too many for this device');
  if (first.has(OMENS.fail)) throw new Error('failed by order');
  if (first.has(OMENS.die)) process.kill(process.pid, 'SIGKILL');
  if (first.has(OMENS.hang)) Atomics.wait(cell, 0, 0);
  while (first.has(OMENS.wait) && !existsSync(gate)) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Of each scored position: its token as both logits, so that a test knows where it comes from. */
function scoresOf({ sequences, scored = [], top = 0 }: RankBatch) {
  const tokens = sequences.flatMap((sequence, i) => [...sequence.subarray(sequence.length - (scored[i] ?? 0))]);
  if (tokens.length === 0) return null;
  const likely = tokens.flatMap((token) => Array.from({ length: top }, (_, n) => token + n));
  return { top, normalizers: Float32Array.from(tokens), nextLogits: Float32Array.from(tokens), topTokens: Uint32Array.from(likely), topLogits: Float32Array.from(likely) };
}

const cell = new Int32Array(new SharedArrayBuffer(4));

export const openBackend: OpenBackend = async (setup, hooks) => {
  const { slowMs = 1, failAt, failRank, hangAt, experts = 5, damageAt, since, gate } = setup.engine as {
    slowMs?: number; failAt?: string; failRank?: number; hangAt?: string; experts?: number; damageAt?: number; since?: string; gate?: string;
  };
  if (damageAt !== undefined && failRank === setup.rank) damagePublished(damageAt);
  const step = async (name: string): Promise<void> => {
    if (failRank !== setup.rank || (since !== undefined && !existsSync(since))) return;
    if (hangAt === name) Atomics.wait(cell, 0, 0);
    if (failAt !== name) return;
    throw new Error(`failed at ${name}`);
  };
  await step('open');
  const geometry = sampleGeometry({ world: setup.world, blobBytes: 300_000, numExperts: experts, ...(failAt === 'hash' && failRank === setup.rank ? { modelHash: 'other' } : {}) });
  partitionExperts(geometry.numExperts, setup.world);
  let tuned: unknown = null;
  return {
    geometry,
    shard: setup.rank,
    needsMessenger: false,
    adapter: setup.adapter ?? 'fake',
    tuningKey: setup.adapter ?? 'fake',
    software: true,
    limits: { vocabSize: VOCABULARY, maxPositionEmbeddings: 1000 },
    pack: async (layer, expert) => {
      await step('pack');
      return sampleExpert(geometry, layer, expert);
    },
    tune: async () => ({ by: setup.rank }),
    prepare: async (readers, tuning) => {
      await step('prepare');
      tuned = tuning;
      // Layer by layer: a ring brings all shards of one before those of the layer after the next.
      for (const layer of geometry.layers) {
        for (const reader of readers) {
          const { first, count } = reader.range;
          await reader.read(layer, first, count, new Uint8Array(count * geometry.expertBytes));
        }
      }
      return null;
    },
    warm: () => step('warm'),
    // Logits: the first token of each sequence, the rank, its tuning, the number of sequences of the batch.
    // Where all ranks see one batch, each answers its share of the rows.
    forward: async (batch, pass) => {
      const { sequences, candidates, lengths = [] } = batch;
      const startMs = performance.now();
      await heed(batch, gate);
      await step('forward');
      await new Promise((resolve) => setTimeout(resolve, slowMs));
      hooks.trace({ track: 'compute', name: 'pass', startMs, durationMs: performance.now() - startMs, layer: 0, pass });
      const by = (tuned as { by: number }).by;
      const shared = lengths.length === 1 && setup.world > 1;
      const members = [...sequences.keys()].filter((i) => !shared || i % setup.world === setup.rank);
      const rows = members.map((i) => [sequences[i]?.[0] as number, setup.rank, by, sequences.length, candidates?.length ?? 0]);
      return {
        logits: Float32Array.from(rows.flat()), width: 5, flops: 10 * sequences.length, expertRows: 0, engine: { kind: 'fake', lengths },
        ...(shared && { rows: members }), scores: scoresOf(batch), cachedTokens: sequences.map((tokens) => tokens.length - 1),
        cache: { materialised: Float64Array.from(sequences, (tokens) => tokens[0] as number), evicted: Float64Array.of(pass) },
      };
    },
    measure: async (tokens) => ({ passFlopsPerSecond: tokens, peakFlopsPerSecond: 1000 + setup.rank }),
    room: () => ({ maxBatchBlocks: 64, cacheBlocks: 100 }),
    memory: () => [{ name: 'slots', where: 'device', expectedBytes: 8, allocatedBytes: 8 }],
    takeLinkStats: () => ({ sentBytes: 0, receivedBytes: 0, transferMs: 0, exposedMs: 0 }),
    takeStats: () => new StreamCounter().take(),
    close: async () => undefined,
  };
};
