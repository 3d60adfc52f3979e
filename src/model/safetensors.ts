/**
 * The safetensors format: 8 bytes of header length (little endian), a JSON header, the tensors' bytes.
 * The header is checked as strictly as by the reference implementation: sizes must fit shapes, and the tensors must
 * cover the data without gap or overlap.
 */
import { InputError } from '../errors.ts';
import { type ModelFiles, parseJson, requiredText, show, sourceOf } from './files.ts';
import { sha256Hex } from './hash.ts';

/** Where a tensor lies in a file. */
export interface TensorInfo {
  readonly name: string;
  /** As the file says; not every one can be loaded. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface SafetensorsFile {
  readonly path: string;
  readonly bytes: number;
  /** First byte of the data. */
  readonly dataOffset: number;
  /** SHA-256 of the header. */
  readonly headerHash: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

/** The reference implementation's limit. */
const MAX_HEADER_BYTES = 100_000_000;
/** "version ", with which a pointer begins that was cloned without its file, read as a length. */
const LFS_POINTER = 0x206e_6f69_7372_6576n;

const BITS: Readonly<Record<string, number>> = {
  BOOL: 8, U8: 8, I8: 8, F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8, F4: 4, F6_E2M3: 6, F6_E3M2: 6,
  I16: 16, U16: 16, F16: 16, BF16: 16, I32: 32, U32: 32, F32: 32, I64: 64, U64: 64, F64: 64, C64: 64,
};

/**
 * Reads and checks the header of a safetensors file.
 * @throws InputError naming the file, the tensor and what was expected
 */
export async function openSafetensors(files: ModelFiles, path: string): Promise<SafetensorsFile> {
  const source = sourceOf(files, path);
  if (!(await files.exists(path))) throw new InputError(source, '', 'no such file');
  const bytes = await files.size(path);
  const headerBytes = await headerLength(files, path, bytes, source);
  const header = await files.read(path, 8, headerBytes);
  const json = parseJson(decodeUtf8(header, source), source);
  if (!isObject(json)) throw new InputError(source, '', 'expected a JSON object as header');
  const dataOffset = 8 + headerBytes;
  const tensors = Object.entries(json)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, entry]) => tensorInfo(name, entry, dataOffset, source));
  checkCover(tensors, dataOffset, bytes, source);
  return { path, bytes, dataOffset, headerHash: await sha256Hex(header), tensors: new Map(tensors.map((t) => [t.name, t])) };
}

async function headerLength(files: ModelFiles, path: string, bytes: number, source: string): Promise<number> {
  if (bytes < 8) throw new InputError(source, '', `is truncated: expected a header length of 8 bytes, the file has ${bytes}`);
  const view = new DataView((await files.read(path, 0, 8)).buffer);
  if (view.getBigUint64(0, true) === LFS_POINTER) throw new InputError(source, '', 'is a Git LFS pointer, not the weights; fetch them with `git lfs pull`');
  const length = Number(view.getBigUint64(0, true));
  if (length > MAX_HEADER_BYTES || length < 2) {
    throw new InputError(source, '', `is not a safetensors file: its header would have ${length} bytes; expected 2 to ${MAX_HEADER_BYTES}`);
  }
  if (8 + length > bytes) {
    throw new InputError(source, '', `is truncated: the header ends at byte ${8 + length}, the file at ${bytes}`);
  }
  return length;
}

function decodeUtf8(bytes: Uint8Array, source: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new InputError(source, '', 'is not a safetensors file: its header is not UTF-8 text');
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isCounts = (value: unknown): value is number[] => Array.isArray(value) && value.every(isCount);

function tensorInfo(name: string, entry: unknown, dataOffset: number, source: string): TensorInfo {
  const refuse = (problem: string): never => { throw new InputError(source, name, problem); };
  if (!isObject(entry)) return refuse(`expected an object with dtype, shape and data_offsets, got ${show(entry)}`);
  const { dtype, shape, data_offsets: offsets } = entry;
  const bits = typeof dtype === 'string' && Object.hasOwn(BITS, dtype) ? BITS[dtype] : undefined;
  if (bits === undefined) return refuse(`unknown dtype ${show(dtype)}; expected one of ${Object.keys(BITS).join(', ')}`);
  if (!isCounts(shape)) return refuse(`expected a shape of non-negative integers, got ${show(shape)}`);
  if (!isCounts(offsets) || offsets.length !== 2 || offsets[1]! < offsets[0]!) {
    return refuse(`expected data_offsets [begin, end], got ${show(offsets)}`);
  }
  const bytes = offsets[1]! - offsets[0]!;
  const expected = (shape.reduce((product, n) => product * n, 1) * bits) / 8;
  if (bytes !== expected) return refuse(`has ${bytes} bytes; expected ${expected} for ${String(dtype)} ${show(shape)}`);
  return { name, dtype: dtype as string, shape, offset: dataOffset + offsets[0]!, bytes };
}

/** The tensors must follow each other from the header to the end of the file. */
function checkCover(tensors: readonly TensorInfo[], dataOffset: number, fileBytes: number, source: string): void {
  let end = dataOffset;
  for (const tensor of tensors.toSorted((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (tensor.offset + tensor.bytes > fileBytes) {
      throw new InputError(source, tensor.name, `is truncated: the tensor ends at byte ${tensor.offset + tensor.bytes}, the file at ${fileBytes}`);
    }
    if (tensor.offset !== end) {
      const how = tensor.offset < end ? 'overlaps the tensor before it' : 'leaves a gap after the tensor before it';
      throw new InputError(source, tensor.name, `${how}: begins at byte ${tensor.offset}, expected ${end}`);
    }
    end += tensor.bytes;
  }
  if (end !== fileBytes) throw new InputError(source, '', `has ${fileBytes - end} bytes after its last tensor; expected none`);
}

/** The shards of a model folder: `model.safetensors`, or those that `model.safetensors.index.json` lists. */
export async function openShards(files: ModelFiles): Promise<readonly SafetensorsFile[]> {
  if (await files.exists('model.safetensors')) return [await openSafetensors(files, 'model.safetensors')];
  const index = 'model.safetensors.index.json';
  if (!(await files.exists(index))) {
    throw new InputError(files.name, '', 'has no weights; expected model.safetensors, or model.safetensors.index.json with its shards');
  }
  const source = sourceOf(files, index);
  const map = weightMap(parseJson(await requiredText(files, index, 'expected the list of shards'), source), source);
  const shards = new Map<string, SafetensorsFile>();
  for (const [tensor, path] of map) {
    if (!shards.has(path)) shards.set(path, await openShard(files, path, source, tensor));
    if (!shards.get(path)!.tensors.has(tensor)) {
      throw new InputError(source, `weight_map.${tensor}`, `points to ${path}, which has no such tensor`);
    }
  }
  return [...shards.values()];
}

function weightMap(json: unknown, source: string): [string, string][] {
  const map = isObject(json) ? json['weight_map'] : undefined;
  if (!isObject(map) || Object.keys(map).length === 0) {
    throw new InputError(source, 'weight_map', `expected an object from tensor names to files, got ${show(map)}`);
  }
  return Object.entries(map).map(([tensor, path]) => {
    if (typeof path === 'string' && /^[^/\\]+\.safetensors$/.test(path)) return [tensor, path];
    throw new InputError(source, `weight_map.${tensor}`, `expected the name of a .safetensors file in this folder, got ${show(path)}`);
  });
}

async function openShard(files: ModelFiles, path: string, source: string, tensor: string): Promise<SafetensorsFile> {
  if (await files.exists(path)) return openSafetensors(files, path);
  throw new InputError(source, `weight_map.${tensor}`, `points to ${path}, which is missing from ${files.name}`);
}
