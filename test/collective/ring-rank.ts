/** A rank of a ring as a process of its own: says where it listens, is told where all are, reads, and reports. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { WebSocketHost } from '../../src/collective/websocket/host.ts';
import { sampleGeometry, samplePack, sampleRun } from './sample-shards.ts';
import { gatherLayer, member } from './websocket-worlds.ts';

export const ringRankSetup = z.object({ rank: z.number(), world: z.number(), numExperts: z.number(), expertBytes: z.number(), passes: z.number(), host: z.string() });
export type RingRankSetup = z.infer<typeof ringRankSetup>;

export interface RingRankReport {
  /** Since every rank had opened all shards. */
  readonly ms: number;
  readonly wrong: readonly string[];
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

const message = (): Promise<unknown> => new Promise((resolve) => void process.once('message', resolve));

if (process.argv[2] !== undefined) await serve(ringRankSetup.parse(JSON.parse(process.argv[2])));

async function serve({ rank, world, numExperts, expertBytes, passes, host: at }: RingRankSetup): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'asyncep-test-'));
  const geometry = sampleGeometry({ world, numExperts, expertBytes });
  const host = new WebSocketHost(member(rank, world), { deadlineMs: 10_000, host: at, folder });
  const addresses = message();
  process.send?.(await host.transport.publish(geometry, samplePack(geometry)));
  const known = z.array(z.string()).parse(await addresses);
  const readers = await Promise.all(known.map((address, peer) => host.transport.open(peer, address, geometry)));
  const start = message();
  process.send?.('open');
  await start;
  const startMs = performance.now();
  const wrong: string[] = [];
  for (let pass = 0; pass < passes; pass++) {
    for (const layer of geometry.layers) {
      const got = await gatherLayer({ host, readers }, geometry, layer);
      if (Buffer.compare(got, sampleRun(geometry, layer, 0, numExperts)) !== 0) wrong.push(`pass ${pass} layer ${layer}`);
    }
  }
  const end = message();
  process.send?.({ ms: performance.now() - startMs, wrong, ...host.transport.transferred() } satisfies RingRankReport);
  await end;
  await host.close();
  await Promise.all(readers.map((reader) => reader.close()));
  rmSync(folder, { recursive: true });
  process.disconnect();
}
