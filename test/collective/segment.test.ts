import { mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { partitionExperts } from '../../src/collective/partition.ts';
import { SharedMemoryTransport } from '../../src/collective/shared-memory.ts';
import { InProcessHub } from '../../src/collective/in-process.ts';
import { openSegment } from '../../src/collective/segment-reader.ts';
import { writeSegment } from '../../src/collective/segment-writer.ts';
import { SegmentError } from '../../src/errors.ts';
import type { Transport } from '../../src/collective/transport.ts';
import { sampleGeometry, samplePack, sampleRun } from './sample-shards.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'asyncep-test-'));
});
afterEach(() => rm(folder, { recursive: true }));

const transports: Record<string, () => (rank: number) => Transport> = {
  'shared memory': () => (rank) => new SharedMemoryTransport(rank, 'test', folder),
  'in process': () => {
    const hub = new InProcessHub();
    return (rank) => hub.transport(rank);
  },
};

describe.each(Object.entries(transports))('experts published over %s', (_, make) => {
  it.each([1, 3, 5])('are read back byte for byte by any rank of %i', async (world) => {
    const geometry = sampleGeometry({ world });
    const transport = make();
    const ranks = Array.from({ length: world }, (_, rank) => transport(rank));
    const addresses = await Promise.all(ranks.map((rank) => rank.publish(geometry, samplePack(geometry))));
    for (const [peer, { first, count }] of partitionExperts(geometry.numExperts, world).entries()) {
      const reader = await (ranks[world - 1] as Transport).open(peer, addresses[peer] as string, geometry);
      expect(reader.range).toEqual({ first, count });
      for (const round of ['first', 'later']) {
        for (const layer of geometry.layers) {
          const into = new Uint8Array(count * geometry.expertBytes).fill(0xaa);
          await reader.read(layer, first, count, into);
          expect(into, `${round} read of layer ${layer}`).toEqual(sampleRun(geometry, layer, first, count));
        }
      }
      await reader.close();
    }
    await Promise.all(ranks.map((rank) => rank.close()));
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('a segment', () => {
  const geometry = sampleGeometry({ world: 2, blobBytes: 3 << 20, layers: [0, 3] });
  const write = async (): Promise<string> => {
    const path = join(folder, 'shard');
    await writeSegment(path, geometry, 1, samplePack(geometry));
    return path;
  };
  /** The error of opening, then reading everything. */
  const problem = async (path: string): Promise<string> => {
    try {
      const reader = await openSegment(path, geometry, 1);
      const readAll = async (): Promise<void> => {
        for (const layer of geometry.layers) await reader.read(layer, 3, 2, new Uint8Array(2 * geometry.expertBytes));
      };
      await readAll().finally(() => reader.close());
      return 'none';
    } catch (error) {
      expect(error).toBeInstanceOf(SegmentError);
      return (error as Error).message.replace(path, 'PATH');
    }
  };
  const poke = async (path: string, position: number, bytes: number[]): Promise<void> => {
    const file = await open(path, 'r+');
    await file.write(Uint8Array.from(bytes), 0, bytes.length, position);
    await file.close();
  };

  it('reads runs larger than a chunk, before and after their checksums were verified', async () => {
    const reader = await openSegment(await write(), geometry, 1);
    for (let round = 0; round < 2; round++) {
      const into = new Uint8Array(2 * geometry.expertBytes);
      await reader.read(3, 3, 2, into);
      expect(Buffer.compare(into, sampleRun(geometry, 3, 3, 2))).toBe(0);
    }
    await reader.close();
  });

  it('is visible under its name only when it is whole', async () => {
    const seen: string[][] = [];
    await writeSegment(join(folder, 'shard'), geometry, 1, async (layer, expert) => {
      seen.push(await readdir(folder));
      return samplePack(geometry)(layer, expert);
    });
    expect(new Set(seen.flat())).toEqual(new Set(['shard.tmp']));
    expect(await readdir(folder)).toEqual(['shard']);
  });

  it('leaves nothing behind when an expert cannot be packed', async () => {
    const failing = writeSegment(join(folder, 'shard'), geometry, 1, () => Promise.reject(new Error('no such tensor')));
    await expect(failing).rejects.toThrow('no such tensor');
    expect(await readdir(folder)).toEqual([]);
  });

  it('names what is wrong when it is damaged', async () => {
    const path = await write();
    const whole = await readFile(path);
    expect(await problem(path)).toBe('none');

    await poke(path, 2, [0]);
    expect(await problem(path)).toMatchInlineSnapshot(`"segment PATH: magic: not an expert segment"`);
    await writeFile(path, whole);
    await poke(path, 8, [9]);
    expect(await problem(path)).toMatchInlineSnapshot(`"segment PATH: version: format 9; this program reads format 1"`);
    await writeFile(path, whole);
    await poke(path, whole.indexOf('"rank":1') + 7, [0x32]);
    expect(await problem(path)).toMatchInlineSnapshot(`"segment PATH: header: checksum does not match"`);
    await writeFile(path, whole);
    await poke(path, whole.length - 100, [(whole[whole.length - 100] as number) ^ 1]);
    expect(await problem(path)).toMatchInlineSnapshot(`"segment PATH: layer 3, expert 4: checksum does not match: the bytes were damaged after they were written"`);
    await writeFile(path, whole);
    await truncate(path, whole.length - 256);
    expect(await problem(path)).toMatchInlineSnapshot(`"segment PATH: size: is 12586752 bytes; expected 12587008"`);
    await rm(path);
    expect(await problem(path)).toMatchInlineSnapshot(`"segment PATH: open: no such file (did its owner end?)"`);
  });

  it('is refused when it is sound but another one than was expected', async () => {
    const path = await write();
    const message = (other: object, rank = 1): Promise<string> =>
      openSegment(path, { ...geometry, ...other }, rank).then(
        () => 'none',
        (error: Error) => error.message.replace(path, 'PATH'),
      );
    expect(await message({ modelHash: 'another' })).toMatchInlineSnapshot(`"segment PATH: modelHash: is "sample"; expected "another""`);
    expect(await message({ layers: [0, 2] })).toMatchInlineSnapshot(`"segment PATH: layers: is [0,3]; expected [0,2]"`);
    expect(await message({ dtype: 'f32' })).toMatchInlineSnapshot(`"segment PATH: dtype: is "f16"; expected "f32""`);
    expect(await message({ world: 3 })).toMatchInlineSnapshot(`"segment PATH: world: is 2; expected 3"`);
    expect(await message({}, 0)).toMatchInlineSnapshot(`"segment PATH: rank: is 1; expected 0"`);
  });
});
