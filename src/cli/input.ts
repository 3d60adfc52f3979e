/**
 * Reads what the commands work on: plain text (one document a file), JSON lines, or a JSON array, from files or stdin.
 * Everything is read and checked before any device is touched; a problem is told with its file, line and field.
 */
import { readFile, stat } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import { text as streamText } from 'node:stream/consumers';
import type { z } from 'zod';
import { InputError } from '../errors.ts';

/** One record with the place it came from, for messages about it. */
export interface InputRecord<T> {
  readonly value: T;
  /** File, or `stdin`. */
  readonly source: string;
  /** `line 17` or `[16]`; empty when the record is the whole file. */
  readonly place: string;
}

/** How a command reads its input. */
export interface InputFormat<T> {
  /** What a record must look like. */
  readonly schema: z.ZodType<T>;
  /** Record for a file of plain text; undefined where only JSON lines make sense. */
  readonly fromText?: (text: string, name: string) => unknown;
}

interface RawRecord {
  readonly json: unknown;
  readonly source: string;
  readonly place: string;
}

/** `.jsonl`, `.ndjson`, `.json`, or a first line that parses as a JSON object. */
function looksLikeJson(source: string, text: string): boolean {
  if (['.jsonl', '.ndjson', '.json'].includes(extname(source).toLowerCase())) return true;
  const firstLine = text.trimStart().split('\n', 1)[0] ?? '';
  if (!firstLine.startsWith('{')) return false;
  try {
    JSON.parse(firstLine);
    return true;
  } catch {
    return false;
  }
}

function parse(text: string, source: string, place: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new InputError(source, place, `is not valid JSON: ${detail}`);
  }
}

function jsonRecords(text: string, source: string): RawRecord[] {
  if (text.trimStart().startsWith('[')) {
    const array = parse(text, source, '') as unknown[];
    return array.map((json, index) => ({ json, source, place: `[${index}]` }));
  }
  if (extname(source).toLowerCase() === '.json') return [{ json: parse(text, source, ''), source, place: '' }];
  return text.split('\n')
    .map((line, index) => ({ line, place: `line ${index + 1}` }))
    .filter(({ line }) => line.trim() !== '')
    .map(({ line, place }) => ({ json: parse(line, source, place), source, place }));
}

async function readSource(path: string): Promise<string> {
  if (path === '-') return streamText(process.stdin);
  const info = await stat(path).catch(() => undefined);
  if (info === undefined) throw new InputError(path, '', 'no such file');
  if (info.isDirectory()) throw new InputError(path, '', 'is a folder; expected a file of text or JSON lines, or - for stdin');
  const bytes = await readFile(path);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new InputError(path, '', 'is not UTF-8 text');
  }
}

function checked<T>(raw: RawRecord, schema: z.ZodType<T>): InputRecord<T> {
  const { json, source, place } = raw;
  const result = schema.safeParse(json);
  if (result.success) return { value: result.data, source, place };
  const issue = result.error.issues[0];
  const field = [place, ...(issue?.path.map(String) ?? [])].filter(Boolean).join(': ');
  throw new InputError(source, field, issue?.message ?? 'is not what this command expects');
}

async function recordsOf<T>(path: string, format: InputFormat<T>): Promise<InputRecord<T>[]> {
  const text = await readSource(path);
  const source = path === '-' ? 'stdin' : path;
  if (text.trim() === '') throw new InputError(source, '', 'is empty; expected text or JSON lines');
  if (looksLikeJson(source, text)) return jsonRecords(text, source).map((raw) => checked(raw, format.schema));
  if (format.fromText === undefined) throw new InputError(source, 'line 1', 'expected a JSON object a line');
  const name = path === '-' ? 'stdin' : basename(path);
  return [checked({ json: format.fromText(text, name), source, place: '' }, format.schema)];
}

/**
 * Reads all records of all files, in order.
 * @param paths files, or `-` for stdin
 * @throws InputError with file, line and field
 */
export async function readRecords<T>(paths: readonly string[], format: InputFormat<T>): Promise<InputRecord<T>[]> {
  const records: InputRecord<T>[] = [];
  for (const path of paths) records.push(...(await recordsOf(path, format)));
  return records;
}

/** Where a record stands, as messages name it: `file.jsonl: line 17`. */
export const whereIs = ({ source, place }: { source: string; place: string }): string =>
  place === '' ? source : `${source}: ${place}`;

/**
 * Gives every record an id: its own, else its file, else file and line.
 * @throws InputError when two records have the same one, because answers could not be told apart
 */
export function withIds<T extends { id?: string | number | undefined }>(records: readonly InputRecord<T>[]): (InputRecord<T> & { id: string })[] {
  const seen = new Map<string, string>();
  return records.map((record) => {
    const id = String(record.value.id ?? (record.place === '' ? record.source : `${record.source}:${record.place.replace('line ', '')}`));
    const before = seen.get(id);
    if (before !== undefined) {
      const field = record.place === '' ? 'id' : `${record.place}: id`;
      throw new InputError(record.source, field, `"${id}" is already the id of ${before}; expected every id once`);
    }
    seen.set(id, whereIs(record));
    return { ...record, id };
  });
}
