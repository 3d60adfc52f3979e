/** `--workload`: one of the paper's by name, or a file of one's own. */
import { z } from 'zod';
import { InputError } from '../errors.ts';
import { checkTokens } from '../model/tasks.ts';
import type { ModelConfig } from '../model/types.ts';
import { namedWorkload, ownWorkload, tokensOf, workloadNames, type Request, type Workload, type WorkloadScale } from '../sim/workload.ts';
import { readRecords, whereIs, type InputRecord } from './input.ts';

const isTokens = (value: unknown): boolean =>
  (Array.isArray(value) ? value.length > 0 && value.every((id) => Number.isInteger(id) && id >= 0) : Number.isInteger(value) && (value as number) > 0);

/** A line: how many random tokens, or the prompt itself; the first `prefix` tokens are those of its `group`. */
const requestSchema = z.strictObject({
  tokens: z.custom<number | number[]>(isTokens, 'expected a number of tokens of at least 1, or a list of token ids'),
  prefix: z.number({ error: 'expected a number' }).int({ error: 'expected a whole number' }).nonnegative({ error: 'expected at least 0' }).optional(),
  group: z.union([z.string(), z.number()], { error: 'expected a string or a number' }).optional(),
}, { error: (issue) => (issue.code === 'unrecognized_keys' ? `has ${issue.keys.join(', ')}; expected "tokens" and, if wanted, "prefix" with "group"` : issue.code === 'invalid_type' ? 'expected a JSON object' : undefined) })
  .refine(({ prefix, group }) => prefix === undefined || group !== undefined, { error: 'has a prefix but no group; expected "group", so that others can share it' })
  .refine(({ prefix, tokens }) => (prefix ?? 0) <= (typeof tokens === 'number' ? tokens : tokens.length), { error: 'expected a prefix no longer than the request', path: ['prefix'] })
  .refine(({ prefix, tokens }) => prefix === undefined || typeof tokens === 'number', { error: 'expected no prefix beside a list of token ids, which says itself what it shares', path: ['prefix'] });

/** Help text for the flag. */
export const WORKLOAD_HELP = `${workloadNames.join(', ')}, or a file of JSON lines: {"tokens": 300, "prefix": 200, "group": "a"} (so many random tokens, the first 200 shared with the group) or {"tokens": [5, 6, 7]}`;

type RequestRecord = InputRecord<z.infer<typeof requestSchema>>;

function checkLength(tokens: number, { maxPositionEmbeddings }: ModelConfig, where: string): void {
  if (tokens > maxPositionEmbeddings) throw new InputError(where, 'tokens', `${tokens} tokens; expected at most ${maxPositionEmbeddings} (max_position_embeddings)`);
}

function ownRequests(records: readonly RequestRecord[], config: ModelConfig): Request[] {
  const groups = new Map<string | number | undefined, number>();
  return records.map((record, index) => {
    const { tokens, prefix = 0, group } = record.value;
    const length = typeof tokens === 'number' ? tokens : tokens.length;
    checkLength(length, config, whereIs(record));
    if (typeof tokens !== 'number') checkTokens(tokens, config, whereIs(record));
    const key = group ?? `request ${index}`;
    if (!groups.has(key)) groups.set(key, groups.size);
    const request = { source: record.source, tokens: length, prefix, group: groups.get(key) as number };
    return typeof tokens === 'number' ? request : { ...request, given: Uint32Array.from(tokens) };
  });
}

/**
 * @param scale for the paper's workloads; a file is taken as it is
 * @throws InputError with file and line, or for an unknown name
 */
export async function chooseWorkload(name: string, config: ModelConfig, scale: WorkloadScale): Promise<Workload> {
  const isFile = !workloadNames.includes(name) && /[./]|^-$/.test(name);
  if (isFile) return ownWorkload(name, ownRequests(await readRecords([name], { schema: requestSchema }), config));
  const workload = namedWorkload(name, scale);
  for (const { tokens } of workload.requests) checkLength(tokens, config, `--context ${scale.longestContext}`);
  return workload;
}

/** All prompts. */
export const promptsOf = (workload: Workload, config: ModelConfig, seed: number): Uint32Array[] =>
  workload.requests.map((_, index) => tokensOf(workload, index, config.vocabSize, seed));
