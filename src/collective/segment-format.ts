/**
 * The bytes of an expert segment.
 *
 *     0    8    magic "asyncep\0"
 *     8    u32  format version
 *     12   u32  bytes of the JSON header
 *     16   u32  CRC-32 of the JSON header and the table
 *     20   ...  JSON header: geometry, rank, range, where data starts
 *     ...  u32  CRC-32 of each expert, layer by layer
 *     data      layer by layer the rank's experts, `expertBytes` each (data starts at a multiple of 4096)
 *
 * Numbers are little endian.
 */
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { SegmentError } from '../errors.ts';
import { EXPERT_ALIGNMENT, type ShardGeometry } from './transport.ts';
import { partitionExperts, type ExpertRange } from './partition.ts';

export const SEGMENT_VERSION = 1;
export const FIXED_BYTES = 20;
const MAGIC = Buffer.from('asyncep\0', 'latin1');
const PAGE = 4096;
/** No header is near this; a larger length means damage. */
const MAX_JSON_BYTES = 1 << 20;

const count = z.number().int().nonnegative();
const headerSchema = z.object({
  modelHash: z.string(),
  dtype: z.string(),
  rank: count,
  world: count,
  numExperts: count,
  first: count,
  count,
  expertBytes: count.multipleOf(EXPERT_ALIGNMENT),
  layers: z.array(count),
  dataOffset: count.multipleOf(PAGE),
});

export type SegmentHeader = z.infer<typeof headerSchema>;

export interface SegmentDescription {
  readonly header: SegmentHeader;
  /** CRC-32 of expert `first + e` of layer number l of the list, at [l * count + e]. */
  readonly checksums: Uint32Array;
}

const dataOffset = (jsonBytes: number, experts: number): number =>
  Math.ceil((FIXED_BYTES + jsonBytes + 4 * experts) / PAGE) * PAGE;

/** Size of the whole file. */
export const segmentBytes = (header: SegmentHeader): number =>
  header.dataOffset + header.layers.length * header.count * header.expertBytes;

/** Where an expert stands in the file; `layerIndex` counts within `header.layers`. */
export const expertOffset = (header: SegmentHeader, layerIndex: number, expert: number): number =>
  header.dataOffset + (layerIndex * header.count + (expert - header.first)) * header.expertBytes;

export function describeSegment(geometry: ShardGeometry, rank: number): SegmentHeader {
  const range = partitionExperts(geometry.numExperts, geometry.world)[rank] as ExpertRange;
  const header = { ...geometry, layers: [...geometry.layers], rank, ...range, dataOffset: 0 };
  // The offset's own digits change the length of the JSON: reserve a page for them.
  const reserved = JSON.stringify(header).length + 32;
  return { ...header, dataOffset: dataOffset(reserved, header.layers.length * header.count) };
}

/** Everything before the data, as written once all checksums are known. */
export function encodePrelude(header: SegmentHeader, checksums: Uint32Array): Buffer {
  const json = Buffer.from(JSON.stringify(header));
  const prelude = Buffer.alloc(header.dataOffset);
  MAGIC.copy(prelude);
  prelude.writeUInt32LE(SEGMENT_VERSION, 8);
  prelude.writeUInt32LE(json.length, 12);
  json.copy(prelude, FIXED_BYTES);
  checksums.forEach((crc, index) => prelude.writeUInt32LE(crc, FIXED_BYTES + json.length + 4 * index));
  const body = prelude.subarray(FIXED_BYTES, FIXED_BYTES + json.length + 4 * checksums.length);
  prelude.writeUInt32LE(crc32(body), 16);
  return prelude;
}

/**
 * Checks the fixed part and returns the length of the JSON.
 * @throws SegmentError naming magic, version or length
 */
export function decodeFixed(path: string, fixed: Buffer): number {
  if (fixed.length < FIXED_BYTES || !fixed.subarray(0, 8).equals(MAGIC)) {
    throw new SegmentError(path, 'magic', 'not an expert segment');
  }
  const version = fixed.readUInt32LE(8);
  if (version !== SEGMENT_VERSION) {
    throw new SegmentError(path, 'version', `format ${version}; this program reads format ${SEGMENT_VERSION}`);
  }
  const jsonBytes = fixed.readUInt32LE(12);
  if (jsonBytes > MAX_JSON_BYTES) throw new SegmentError(path, 'header', `claims ${jsonBytes} bytes`);
  return jsonBytes;
}

/** @throws SegmentError when the header is not what its checksum says, or not a header */
export function decodeHeader(path: string, json: Buffer): SegmentHeader {
  let value: unknown;
  try {
    value = JSON.parse(json.toString('utf8'));
  } catch {
    throw new SegmentError(path, 'header', 'broken JSON');
  }
  const parsed = headerSchema.safeParse(value);
  if (!parsed.success) throw new SegmentError(path, 'header', parsed.error.issues[0]?.message ?? 'malformed');
  return parsed.data;
}

/** @throws SegmentError naming the first field in which the segment is not the one expected */
export function checkHeader(path: string, header: SegmentHeader, geometry: ShardGeometry, rank: number): void {
  const expected = describeSegment(geometry, rank);
  const fields = ['modelHash', 'dtype', 'world', 'rank', 'numExperts', 'first', 'count', 'expertBytes', 'layers', 'dataOffset'] as const;
  for (const field of fields) {
    const [found, wanted] = [JSON.stringify(header[field]), JSON.stringify(expected[field])];
    if (found !== wanted) throw new SegmentError(path, field, `is ${found}; expected ${wanted}`);
  }
}
