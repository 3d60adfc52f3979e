import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { programArguments } from '../../src/node/program-arguments.ts';
import { createNetwork, networkProblem } from './namespaces.ts';
import type { RingRankReport, RingRankSetup } from './ring-rank.ts';

const RANK = programArguments(new URL('./ring-rank.ts', import.meta.url).href);
const problem = networkProblem();

/** The next message of every child; fails when one ends before. */
async function next<T>(children: readonly ChildProcess[]): Promise<T[]> {
  return Promise.all(children.map(async (child, rank) => {
    const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`rank ${rank} ended with code ${code}`)));
    ended.catch(() => undefined);
    const [message] = await Promise.race([once(child, 'message'), ended]);
    return message as T;
  }));
}

describe(`a ring of three hosts with links of 20 MB/s${problem === null ? '' : ` (skipped, no network namespaces here: ${problem})`}`, () => {
  it.skipIf(problem !== null)('brings every layer, byte for byte, and no faster than the links allow', async () => {
    const shape = { hosts: 3, bytesPerSecond: 20e6, burstBytes: 256 << 10 };
    const setup: Omit<RingRankSetup, 'rank' | 'host'> = { world: 3, numExperts: 6, expertBytes: 512 << 10, passes: 3 };
    const network = createNetwork(shape);
    const children = network.hosts.map((host, rank) => host.fork([...RANK, JSON.stringify({ ...setup, rank, host: host.address })]));
    try {
      const tell = (message: unknown): void => children.forEach((child) => child.send(message as object));
      tell(await next<string>(children));
      await next(children);
      tell('start');
      const reports = await next<RingRankReport>(children);
      tell('end');
      await Promise.all(children.map((child) => child.exitCode ?? once(child, 'exit')));
      const layerBytes = setup.numExperts * setup.expertBytes;
      const bytes = (2 / 3) * layerBytes * 3 * setup.passes;
      for (const { ms, wrong, sentBytes, receivedBytes } of reports) {
        expect(wrong).toEqual([]);
        expect([sentBytes, receivedBytes]).toEqual([bytes, bytes]);
        const allowedBytes = shape.bytesPerSecond * (ms / 1e3) + shape.burstBytes;
        expect(receivedBytes).toBeLessThanOrEqual(allowedBytes);
        // The ring is there to use what the link has.
        expect(receivedBytes).toBeGreaterThan(0.5 * allowedBytes);
      }
    } finally {
      for (const child of children) child.kill('SIGKILL');
      network.close();
    }
  }, 60_000);
});
