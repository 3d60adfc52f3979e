/**
 * The name of a checkpoint's weights, cheap enough to take at every start: SHA-256 over the normalised configuration and, for each shard,
 * its header, its size and samples of its data. Files up to `WHOLE_BYTES` are hashed whole; of larger ones the first and last
 * 64 KiB and 4 KiB at each of 256 regular places, which no training step leaves as they were.
 */
import type { ModelFiles } from './files.ts';
import { sha256Hex } from './hash.ts';
import type { SafetensorsFile } from './safetensors.ts';
import type { ModelConfig } from './types.ts';

const WHOLE_BYTES = 1 << 24;
const EDGE_BYTES = 1 << 16;
const SAMPLE_BYTES = 1 << 12;
const SAMPLES = 256;
const READS_AT_ONCE = 16;

/** Hex digest that is equal for equal checkpoints, and differs for differing ones in all but contrived cases. */
export async function hashCheckpoint(files: ModelFiles, config: ModelConfig, shards: readonly SafetensorsFile[]): Promise<string> {
  const parts = [JSON.stringify(config, Object.keys(config).toSorted().concat(ropeKeys(config)))];
  for (const shard of shards.toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
    parts.push(`${shard.path} ${shard.bytes} ${shard.headerHash} ${await hashData(files, shard)}`);
  }
  return sha256Hex(parts.join('\n'));
}

/** JSON.stringify's list of keys holds for nested objects too. */
const ropeKeys = (config: ModelConfig): string[] => Object.keys(config.ropeScaling ?? {}).toSorted();

async function hashData(files: ModelFiles, { path, bytes, dataOffset }: SafetensorsFile): Promise<string> {
  const length = bytes - dataOffset;
  if (length <= WHOLE_BYTES) return sha256Hex(await files.read(path, dataOffset, length));
  const sample = async (offset: number, count: number): Promise<string> => sha256Hex(await files.read(path, offset, count));
  const digests = [await sample(dataOffset, EDGE_BYTES), await sample(bytes - EDGE_BYTES, EDGE_BYTES)];
  const step = Math.floor((length - SAMPLE_BYTES) / (SAMPLES - 1));
  for (let i = 0; i < SAMPLES; i += READS_AT_ONCE) {
    const places = Array.from({ length: READS_AT_ONCE }, (_, j) => dataOffset + (i + j) * step);
    digests.push(...(await Promise.all(places.map((offset) => sample(offset, SAMPLE_BYTES)))));
  }
  return sha256Hex(digests.join(' '));
}
