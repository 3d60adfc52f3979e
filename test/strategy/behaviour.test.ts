import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ShardReader } from '../../src/collective/transport.ts';
import { createStream, overlapEfficiency, type StreamEvent } from '../../src/strategy/index.ts';
import { cutPieces, layOutBanks } from '../../src/strategy/banks.ts';
import { compareMemory, expertMemory, memoryIsAsPlanned } from '../../src/strategy/memory.ts';
import { contextOf, openRig, openShards, runPass, sampleGeometry, type Rig } from './rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await openRig('lavapipe');
});
afterAll(() => rig.close());

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The same shards, whose reads of the `after`-th call on do something else first. */
const meddle = (readers: readonly ShardReader[], after: number, first: () => Promise<void>): ShardReader[] => {
  let calls = 0;
  return readers.map((reader) => ({
    rank: reader.rank,
    range: reader.range,
    read: async (...args) => {
      if (calls++ >= after) await first();
      return reader.read(...args);
    },
    close: () => reader.close(),
  }));
};

describe('asyncep', () => {
  it('submits the copies of the next layer before the dispatches of this one', async () => {
    const geometry = sampleGeometry({ world: 2, layers: [0, 1, 2, 3] });
    const shards = await openShards(geometry, 0);
    const log: string[] = [];
    const queue = new Proxy(rig.device.queue, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (name !== 'submit') return typeof value === 'function' ? value.bind(target) : value;
        return (buffers: GPUCommandBuffer[]) => {
          log.push(...buffers.map((buffer) => buffer.label));
          target.submit(buffers);
        };
      },
    });
    const device = new Proxy(rig.device, {
      get: (target, name) => {
        if (name === 'queue') return queue;
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const stream = await createStream('asyncep', contextOf({ ...rig, device }, geometry, 0, shards.readers));
    await sleep(50);
    // Something for the device to do, so that no layer goes ahead because the device stands idle.
    const busy = rig.device.createBuffer({ size: 64 << 20, usage: GPUBufferUsage.COPY_DST });
    stream.begin(0);
    for (const layer of geometry.layers) {
      await stream.ready(layer);
      const encoder = rig.device.createCommandEncoder();
      for (let i = 0; i < 4; i++) encoder.clearBuffer(busy);
      queue.submit([encoder.finish({ label: `compute ${layer}` })]);
      stream.done(layer);
    }
    stream.end();
    const order = log.filter((label) => label !== '');
    for (const layer of [2, 3]) expect(order.indexOf(`copy layer ${layer}`), order.join(', ')).toBeLessThan(order.indexOf(`compute ${layer - 1}`));
    // The first streamed layer of the next pass comes after the last one.
    expect(order.lastIndexOf('copy layer 1')).toBeLessThan(order.indexOf('compute 3'));
    await stream.close();
    await shards.close();
    busy.destroy();
  });

  it('hides a slow gather behind compute, which sync does not', async () => {
    const geometry = sampleGeometry({ world: 2, layers: [0, 1, 2, 3] });
    const busy = rig.device.createBuffer({ size: 64 << 20, usage: GPUBufferUsage.COPY_DST });
    const efficiency = async (strategy: 'asyncep' | 'sync'): Promise<number> => {
      const shards = await openShards(geometry, 0);
      const slow = meddle(shards.readers, 0, () => sleep(10));
      const stream = await createStream(strategy, contextOf(rig, geometry, 0, slow));
      for (let pass = 0; pass < 3; pass++) {
        if (pass === 1) stream.takeStats();
        stream.begin(pass);
        for (const layer of geometry.layers) {
          await stream.ready(layer);
          const encoder = rig.device.createCommandEncoder();
          for (let i = 0; i < 6; i++) encoder.clearBuffer(busy);
          rig.device.queue.submit([encoder.finish()]);
          stream.done(layer);
        }
        stream.end();
      }
      await rig.device.queue.onSubmittedWorkDone();
      const stats = stream.takeStats();
      expect(stats.total.gathers).toBeGreaterThanOrEqual(6);
      await stream.close();
      await shards.close();
      return overlapEfficiency(stats.total);
    };
    expect(await efficiency('sync')).toBeLessThan(0.3);
    expect(await efficiency('asyncep')).toBeGreaterThan(0.7);
    busy.destroy();
  });

  it('counts bytes and reports what it did', async () => {
    const geometry = sampleGeometry({ world: 2, numExperts: 5, layers: [0, 1, 2] });
    const shards = await openShards(geometry, 1);
    const events: StreamEvent[] = [];
    const stream = await createStream('asyncep', contextOf(rig, geometry, 1, shards.readers, { trace: (event) => events.push(event), settings: { timeCopies: true } }));
    await runPass(rig, stream, geometry, 0);
    await runPass(rig, stream, geometry, 1);
    await sleep(20);
    const { layers, copies } = stream.takeStats();
    // Rank 1 owns two experts of five; by the end the third gather of a layer may be under way.
    for (const counts of layers) {
      expect(counts.hostBytes % (3 * geometry.expertBytes)).toBe(0);
      expect(counts.hostBytes).toBeGreaterThanOrEqual(2 * 3 * geometry.expertBytes);
      expect(counts.ownBytes).toBe(counts.gathers * 2 * geometry.expertBytes);
      expect(counts.copyMs).toBeGreaterThan(0);
    }
    for (const { startNs, endNs } of copies) expect(endNs).toBeGreaterThanOrEqual(startNs);
    expect(new Set(events.map(({ track }) => track))).toContain('receive');
    expect(events.every(({ durationMs, layer }) => durationMs >= 0 && layer > 0)).toBe(true);
    await stream.close();
    await shards.close();
  });

  it('refuses layers out of order', async () => {
    const geometry = sampleGeometry({ world: 2 });
    const shards = await openShards(geometry, 0);
    const stream = await createStream('asyncep', contextOf(rig, geometry, 0, shards.readers));
    stream.begin(0);
    await stream.ready(1);
    stream.done(1);
    await expect(stream.ready(4)).rejects.toThrow('layer 4 was asked for; layer 2 comes next');
    await stream.close();
    await shards.close();
  });
});

describe.each(['asyncep', 'sync'] as const)('a failing gather under %s', (strategy) => {
  const failure = async (first: () => Promise<void>, settings = {}): Promise<string> => {
    const geometry = sampleGeometry({ world: 3, layers: [0, 1, 2] });
    const shards = await openShards(geometry, 0);
    // First layer (5 experts in 3 shards) and own shard (2 layers) are loaded undisturbed, and so is one pass.
    const readers = meddle(shards.readers, 3 + 2 + 4, first);
    const stream = await createStream(strategy, contextOf(rig, geometry, 0, readers, { settings }));
    const passes = async (): Promise<void> => {
      for (let pass = 0; pass < 3; pass++) await runPass(rig, stream, geometry, pass);
    };
    const message = await passes().then(() => 'none', (error: Error) => error.message);
    await stream.close();
    return message;
  };

  it('ends the pass with the reader\'s error', async () => {
    expect(await failure(() => Promise.reject(new Error('damaged')))).toBe('damaged');
  });

  it('ends the pass within the deadline when bytes do not come, and says which', async () => {
    const start = performance.now();
    const late = await failure(() => sleep(1500), { deadlineMs: 200 });
    expect(late).toMatch(/^experts of layer 1 did not arrive: 2 of 2 pieces are missing, among them experts 4 to 4 of rank 2 \(nothing moved for 0\.\d s\)$/);
    expect(performance.now() - start).toBeLessThan(5000);
  });

  it('does not keep a stream from being closed, nor does a pass that never comes', async () => {
    const geometry = sampleGeometry({ world: 2 });
    const shards = await openShards(geometry, 0);
    const stream = await createStream(strategy, contextOf(rig, geometry, 0, meddle(shards.readers, 5, () => sleep(50))));
    await stream.close();
    await expect(stream.ready(geometry.layers[0] as number)).rejects.toThrow('closed');
    await shards.close();
  });
});

describe('banks', () => {
  it('are as equal as whole experts allow, and no larger than a binding', () => {
    expect(layOutBanks(128, 1 << 20, 100 << 20)).toMatchObject({ expertsPerBank: 64, numBanks: 2 });
    expect(layOutBanks(5, 256, 512)).toMatchObject({ expertsPerBank: 2, numBanks: 3 });
    expect(layOutBanks(8, 256, 2 ** 31)).toMatchObject({ expertsPerBank: 8, numBanks: 1 });
    expect(() => layOutBanks(8, 1024, 1000)).toThrowErrorMatchingInlineSnapshot(`[AdapterError: one expert takes 1024 bytes, but this adapter binds at most 1000 bytes at once; use a narrower weight type or another adapter]`);
  });

  it('cut every range into pieces that cover it and cross no border', () => {
    for (const [first, count, pieceBytes] of [[0, 11, 1], [3, 8, 600], [2, 9, 1 << 20]] as const) {
      const layout = layOutBanks(11, 256, 4 * 256);
      const pieces = cutPieces({ first, count }, layout, pieceBytes);
      expect(pieces.flatMap((piece) => Array.from({ length: piece.count }, (_, e) => piece.first + e))).toEqual(Array.from({ length: count }, (_, e) => first + e));
      for (const piece of pieces) {
        expect(Math.floor((piece.first + piece.count - 1) / layout.expertsPerBank)).toBe(piece.bank);
        expect(piece.bankOffset).toBe((piece.first % layout.expertsPerBank) * 256);
      }
    }
  });
});

describe('device memory', () => {
  it.each(['asyncep', 'sync', 'resident'] as const)('of %s is what the geometry says, part by part', async (strategy) => {
    const geometry = sampleGeometry({ world: 3, numExperts: 8, blobBytes: 5000 });
    const shards = await openShards(geometry, 2);
    for (const part of Object.keys(rig.allocated)) delete rig.allocated[part];
    const context = contextOf(rig, geometry, 2, shards.readers, { bankBytes: 3 * geometry.expertBytes, settings: { pieceBytes: 2 * geometry.expertBytes } });
    const stream = await createStream(strategy, context);
    const rows = compareMemory(expertMemory(strategy, context), rig.allocated);
    expect(memoryIsAsPlanned(rows), JSON.stringify(rows)).toBe(true);
    const layer = 8 * geometry.expertBytes;
    const device = rows.filter(({ where }) => where === 'device').reduce((sum, row) => sum + row.allocatedBytes, 0);
    // Three MoE layers; rank 2 of 3 owns two of eight experts.
    const expected = { asyncep: layer + 2 * (layer / 4) + 2 * layer, sync: layer + 2 * (layer / 4) + layer, resident: 3 * layer };
    expect(device).toBe(expected[strategy]);
    await stream.close();
    await shards.close();
  });
});
