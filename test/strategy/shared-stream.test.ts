/** Several passes at the same time over one stream. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SlotStream } from '../../src/engine/slot-stream.ts';
import { createStream } from '../../src/strategy/index.ts';
import { SharedStream } from '../../src/strategy/shared-stream.ts';
import { sampleRun } from '../collective/sample-shards.ts';
import { contextOf, openRig, openShards, runPass, sampleGeometry, type Rig } from './rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await openRig('lavapipe');
});
afterAll(() => rig.close());

const geometry = sampleGeometry({ world: 1, numExperts: 6, layers: [0, 1, 2, 3, 5, 6] });
/** @throws after five seconds */
async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    if (tries > 500) throw new Error('the condition did not come true');
    await sleep(10);
  }
}
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The pass takes its time before every layer, as one that waits for rows does. */
const slowly = (stream: SlotStream, ms: (layer: number) => number): SlotStream => ({
  ...stream,
  ready: async (layer) => {
    await sleep(ms(layer));
    return stream.ready(layer);
  },
});

function expectPacked(seen: ReadonlyMap<number, Uint8Array>, what: string): void {
  for (const layer of geometry.layers) {
    expect(Buffer.compare(seen.get(layer) as Uint8Array, sampleRun(geometry, layer, 0, geometry.numExperts)), `${what}, layer ${layer}`).toBe(0);
  }
}

async function opened(offloadLayers: number) {
  const shards = await openShards(geometry, 0);
  const stream = await createStream(offloadLayers > 0 ? 'asyncep' : 'resident', contextOf(rig, geometry, 0, shards.readers, { settings: { offloadLayers } }));
  const shared = new SharedStream(stream);
  const close = async (): Promise<void> => {
    await shared.close();
    await shards.close();
  };
  return { stream, shared, close };
}

describe('passes that share a stream', () => {
  it.each([0, 1, 2])('see the packed experts of every layer, however far apart they are (offload %i)', async (offloadLayers) => {
    const { shared, close } = await opened(offloadLayers);
    const paces: ((layer: number) => number)[] = [() => 0, (layer) => (layer * 7) % 5, (layer) => (layer === 3 ? 20 : 1), () => 2];
    const lane = async (lane: number): Promise<void> => {
      for (let pass = 0; pass < 4; pass++) {
        const pace = paces[(lane + pass) % paces.length] as (layer: number) => number;
        expectPacked(await runPass(rig, slowly(shared.pass(3), pace), geometry, pass), `lane ${lane}, pass ${pass}`);
      }
    };
    await Promise.all([lane(0), lane(1), lane(2)]);
    await close();
  });

  it('and make a round bring every layer in once', async () => {
    const { stream, shared, close } = await opened(1);
    await Promise.all([0, 1, 2].map((pass) => runPass(rig, slowly(shared.pass(3), () => pass), geometry, pass)));
    // Once for the round, and for as much of the next one as the window holds.
    const gathers = stream.takeStats().layers.filter(({ layer }) => layer >= 5).map((counts) => counts.gathers);
    expect(gathers).toEqual([1, 1]);
    await close();
  });

  it('a layer stays until a pass of the round that comes late has used it', async () => {
    const { shared, close } = await opened(1);
    const order: string[] = [];
    const first = shared.pass(2);
    first.begin(0);
    const ahead = runPass(rig, { ...first, ready: async (layer) => {
      const slot = await first.ready(layer);
      order.push(`first at ${layer}`);
      return slot;
    } }, geometry, 0);
    // The first layer is always there, and a window of one holds two more.
    await until(() => order.length === 3);
    await sleep(30);
    order.push('second begins');
    expectPacked(await runPass(rig, shared.pass(2), geometry, 1), 'second pass');
    expectPacked(await ahead, 'first pass');
    expect(order).toEqual([...geometry.layers.slice(0, 3).map((layer) => `first at ${layer}`), 'second begins', ...geometry.layers.slice(3).map((layer) => `first at ${layer}`)]);
    await close();
  });

  it('a pass of the next round waits for the end of this one', async () => {
    const { shared, close } = await opened(1);
    const order: string[] = [];
    const [first, late] = [shared.pass(1), shared.pass(1)];
    late.begin(1);
    const waiting = late.ready(0).then(() => order.push('late pass begins'));
    first.begin(0);
    for (const layer of geometry.layers) {
      await first.ready(layer);
      first.done(layer);
    }
    order.push('first pass ends');
    first.end();
    await waiting;
    expect(order).toEqual(['first pass ends', 'late pass begins']);
    await close();
  });

  it('all meet the failure of the stream, those that wait for the next round too', async () => {
    const { shared, stream, close } = await opened(1);
    const [first, late] = [shared.pass(), shared.pass()];
    first.begin(0);
    await first.ready(0);
    first.done(0);
    late.begin(1);
    const waiting = late.ready(0).then(() => 'ready', (error: Error) => error.message);
    await stream.close();
    await expect(first.ready(1)).rejects.toThrow('the stream of experts was closed');
    expect(await waiting).toContain('the stream of experts was closed');
    await close();
  });
});
