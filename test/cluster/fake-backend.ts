/**
 * A rank without a device: its experts are a few bytes, its "logits" tell which rank ran what. Lets the protocol be tested fast.
 * Behaviour is chosen by options of the engine: `{ "slowMs": 50, "failAt": "prepare", "failRank": 1, "hangAt": "forward", ... }`.
 */
import { closeSync, openSync, statSync, writeSync } from 'node:fs';
import { SharedMemoryTransport } from '../../src/collective/shared-memory.ts';
import { sampleExpert, sampleGeometry } from '../collective/sample-shards.ts';
import type { OpenBackend } from '../../src/cluster/backend.ts';
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

const cell = new Int32Array(new SharedArrayBuffer(4));

export const openBackend: OpenBackend = async (setup, hooks) => {
  const { slowMs = 1, failAt, failRank, hangAt, experts = 5, damageAt } = setup.engine as {
    slowMs?: number; failAt?: string; failRank?: number; hangAt?: string; experts?: number; damageAt?: number;
  };
  if (damageAt !== undefined && failRank === setup.rank) damagePublished(damageAt);
  const step = async (name: string): Promise<void> => {
    if (failRank !== setup.rank) return;
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
    forward: async ({ sequences, candidates }, pass) => {
      const startMs = performance.now();
      await step('forward');
      await new Promise((resolve) => setTimeout(resolve, slowMs));
      hooks.trace({ track: 'compute', name: 'pass', startMs, durationMs: performance.now() - startMs, layer: 0, pass });
      const by = (tuned as { by: number }).by;
      const rows = sequences.map((tokens) => [tokens[0] as number, setup.rank, by, sequences.length, candidates?.length ?? 0]);
      return { logits: Float32Array.from(rows.flat()), width: 5, flops: 10 * sequences.length, expertRows: 0, engine: { kind: 'fake' } };
    },
    memory: () => [{ name: 'slots', where: 'device', expectedBytes: 8, allocatedBytes: 8 }],
    takeLinkStats: () => ({ sentBytes: 0, receivedBytes: 0, transferMs: 0, exposedMs: 0 }),
    takeStats: () => new StreamCounter().take(),
    close: async () => undefined,
  };
};
