/**
 * Requests of a recorded service in Mooncake's open format (FAST '25; kvcache-ai/Mooncake, FAST25-release/traces): a line is
 *
 *     {"timestamp": 27482, "input_length": 1300, "output_length": 52, "hash_ids": [46, 47, 2353]}
 *
 * `timestamp` in milliseconds since the trace began; a hash id names 512 tokens *and everything before them* (the last id of a prompt covers what
 * is left), so prompts share a prefix exactly as far as their ids are equal from the start. There is no text, and no block of 16 tokens: each id stands for
 * 32 of them, named (id, place in it).
 */
import { z } from 'zod';
import { InputError } from '../../errors.ts';
import { BLOCK_TOKENS } from '../../runtime/kernels/attention.ts';
import type { Prompt, ServingWorkload } from './prompts.ts';

/** Tokens that a hash id of the trace names. */
export const TRACE_BLOCK_TOKENS = 512;
const BLOCKS_PER_ID = TRACE_BLOCK_TOKENS / BLOCK_TOKENS;
/** So that a block's name stays a whole number below 2^53. */
const LARGEST_ID = 2 ** 48 - 1;

const whole = (least: number, most: number = Number.MAX_SAFE_INTEGER) => {
  const error = most === Number.MAX_SAFE_INTEGER ? `expected a whole number of at least ${least}` : `expected whole numbers from ${least} to ${most}`;
  return z.number({ error }).int({ error }).min(least, { error }).max(most, { error });
};
const timestamp = z.number({ error: 'expected milliseconds of at least 0' }).nonnegative({ error: 'expected milliseconds of at least 0' });

/** A line of a trace; fields that are not named here are of no use to a prefill and are let pass. */
export const traceRecord = z.looseObject({
  timestamp,
  input_length: whole(1),
  output_length: whole(0),
  hash_ids: z.array(whole(0, LARGEST_ID), { error: 'expected a list of hash ids' }),
}, { error: (issue) => (issue.code === 'invalid_type' ? 'expected a JSON object' : undefined) });
export type TraceRecord = z.infer<typeof traceRecord>;

/** A record and where it was read, for messages: `trace.jsonl: line 17`. */
export interface PlacedRecord {
  readonly value: TraceRecord;
  readonly where: string;
}

/** Names of the full blocks of a prompt. */
function blocksOf({ input_length: tokens, hash_ids: ids }: TraceRecord): Float64Array {
  return Float64Array.from({ length: Math.floor(tokens / BLOCK_TOKENS) }, (_, block) =>
    (ids[Math.floor(block / BLOCKS_PER_ID)] as number) * BLOCKS_PER_ID + (block % BLOCKS_PER_ID));
}

/** What is known of the ids read so far: which one each follows. */
class Prefixes {
  readonly #before = new Map<number, number>();

  /** @throws InputError when an id follows different ones: it names a block then, and not a prefix */
  check({ value: { input_length: tokens, hash_ids: ids }, where }: PlacedRecord): void {
    const expected = Math.ceil(tokens / TRACE_BLOCK_TOKENS);
    if (ids.length !== expected) {
      throw new InputError(where, 'hash_ids', `${ids.length} ids for ${tokens} tokens; expected ${expected}, one for each ${TRACE_BLOCK_TOKENS} tokens`);
    }
    let before = -1;
    ids.forEach((id, index) => {
      const known = this.#before.get(id);
      if (known === undefined) this.#before.set(id, before);
      else if (known !== before) {
        throw new InputError(where, `hash_ids.${index}`, `${id} ${follows(before)} here and ${follows(known)} further up; expected ids that name a block with all that is before it`);
      }
      before = id;
    });
  }
}

const follows = (id: number): string => (id === -1 ? 'is the first' : `follows ${id}`);

/**
 * Reads a trace as a workload.
 * @param rate by which arrivals are faster than they were; Infinity: all at once
 * @throws InputError with the record and the field
 */
export function traceWorkload(name: string, records: readonly PlacedRecord[], rate: number): ServingWorkload {
  const prefixes = new Prefixes();
  let tokens = 0;
  const prompts: Prompt[] = [];
  for (const record of records) {
    prefixes.check(record);
    const { timestamp, input_length: length } = record.value;
    tokens += length;
    prompts.push({ source: name, tokens: length, hashes: blocksOf(record.value), arrivalMs: timestamp / rate });
  }
  const minutes = records.reduce((latest, { value }) => Math.max(latest, value.timestamp), 0) / 60_000;
  const arrivals = rate === Infinity ? 'all at once' : `at ${rate} times the speed of the trace`;
  return {
    name, prompts: prompts.toSorted((a, b) => a.arrivalMs - b.arrivalMs), tokens, timed: rate !== Infinity,
    assumptions: [`requests of ${minutes.toFixed(0)} minutes, ${arrivals}; prefill only: output_length is not used`],
  };
}
