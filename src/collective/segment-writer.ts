/** Writes a rank's experts into a segment, expert by expert, and publishes it under its name in one step. */
import { open, rename, unlink, type FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { describeSegment, encodePrelude, expertOffset, segmentBytes } from './segment-format.ts';
import type { PackExpert, ShardGeometry } from './transport.ts';
import { forgetSegment, guardSegment } from './segment-files.ts';
import { SegmentError } from '../errors.ts';

/**
 * Writes the experts of `rank` to `path`. Nothing is visible under `path` before every byte is there.
 * The file is removed when this process ends, however it ends.
 * @returns bytes of the file
 * @throws SegmentError when a packed expert is larger than `geometry.expertBytes`, or the disk is full
 */
export async function writeSegment(path: string, geometry: ShardGeometry, rank: number, pack: PackExpert): Promise<number> {
  const temporary = `${path}.tmp`;
  guardSegment(temporary);
  guardSegment(path);
  const file = await open(temporary, 'wx', 0o600);
  try {
    const bytes = await writeExperts(file, path, geometry, rank, pack);
    await file.close();
    await rename(temporary, path);
    return bytes;
  } catch (error) {
    await file.close().catch(() => undefined);
    await unlink(temporary).catch(() => undefined);
    forgetSegment(path);
    throw error;
  } finally {
    forgetSegment(temporary);
  }
}

async function writeExperts(file: FileHandle, path: string, geometry: ShardGeometry, rank: number, pack: PackExpert): Promise<number> {
  const header = describeSegment(geometry, rank);
  const checksums = new Uint32Array(header.layers.length * header.count);
  const bytes = segmentBytes(header);
  await file.truncate(bytes);
  const padded = new Uint8Array(header.expertBytes);
  for (const [layerIndex, layer] of header.layers.entries()) {
    for (let e = 0; e < header.count; e++) {
      const blob = await pack(layer, header.first + e);
      if (blob.length > padded.length) {
        throw new SegmentError(path, `layer ${layer}, expert ${header.first + e}`, `packed into ${blob.length} bytes; expected at most ${padded.length}`);
      }
      padded.set(blob);
      padded.fill(0, blob.length);
      checksums[layerIndex * header.count + e] = crc32(padded);
      await writeAll(file, path, padded, expertOffset(header, layerIndex, header.first + e));
    }
  }
  await writeAll(file, path, encodePrelude(header, checksums), 0);
  return bytes;
}

async function writeAll(file: FileHandle, path: string, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    done += await file.write(bytes, done, bytes.length - done, position + done).then(
      (result) => result.bytesWritten,
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOSPC') throw error;
        throw new SegmentError(path, 'write', 'no space left; the experts of all ranks must fit there (enlarge it, or set ASYNCEP_SEGMENT_DIR to a folder with room)');
      },
    );
  }
}
