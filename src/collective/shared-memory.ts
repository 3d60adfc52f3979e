/** The transport between processes of one machine: each rank's experts are a file in shared memory that all may read. */
import { unlink } from 'node:fs/promises';
import { forgetSegment, segmentFolder, segmentPath } from './segment-files.ts';
import { openSegment } from './segment-reader.ts';
import { writeSegment } from './segment-writer.ts';
import type { PackExpert, ShardGeometry, ShardReader, Transport } from './transport.ts';

export class SharedMemoryTransport implements Transport {
  #published: string | null = null;

  /**
   * @param runId letters and digits that name the run; part of every file's name
   * @param folder where segments stand; /dev/shm unless told otherwise
   * @param shard which part of the geometry it publishes; its own rank's unless what a rank keeps is a world of its own
   */
  constructor(
    readonly rank: number,
    private readonly runId: string,
    private readonly folder: string = segmentFolder(),
    private readonly shard = rank,
  ) {}

  /** @returns the path of the segment */
  async publish(geometry: ShardGeometry, pack: PackExpert): Promise<string> {
    const path = segmentPath(this.runId, this.rank, this.folder);
    await writeSegment(path, geometry, this.shard, pack);
    this.#published = path;
    return path;
  }

  open(peer: number, address: string, geometry: ShardGeometry): Promise<ShardReader> {
    return openSegment(address, geometry, peer);
  }

  async close(): Promise<void> {
    const path = this.#published;
    this.#published = null;
    if (path === null) return;
    forgetSegment(path);
    await unlink(path).catch(() => undefined);
  }
}
