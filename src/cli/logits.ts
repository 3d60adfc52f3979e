/** `asyncep logits`: the numbers themselves, of the last position. */
import type { Command } from 'commander';
import { InputError } from '../errors.ts';
import { checkTokens } from '../model/tasks.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import type { ModelConfig } from '../model/types.ts';
import { type InputRecord, readRecords, whereIs, withIds } from './input.ts';
import { type ChosenModel, chooseModel } from './model-source.ts';
import { type RunOptions, tokenList, withRunOptions } from './options.ts';
import { createProgress } from './progress.ts';
import { type SequenceRecord, sequenceRecord } from './schemas.ts';
import { openSession, type Sequence } from './session.ts';
import { openJsonLines } from './sink.ts';
import { checkTraceFile, saveTrace } from './trace-file.ts';

const EXAMPLES = `
Input: JSON lines {"id", "tokens": [1, 2, 3]} or {"id", "text": "..."}; a text is tokenized as it is, without a template.
Output: JSON lines {"id", "logits": [...]}, of the whole vocabulary or of the candidates in their order.

Examples:
  $ asyncep logits --model DIR --input prompts.jsonl --output logits.jsonl
  $ asyncep logits --model DIR --input - --candidates 17,42 --ranks 2`;

interface LogitsFlags extends RunOptions {
  readonly input: string;
  readonly output?: string;
  readonly candidates?: readonly number[];
}

/** Adds the command to the program. */
export function addLogits(program: Command): void {
  const command = program.command('logits')
    .description('write the logits that follow each prompt')
    .requiredOption('--input <file>', 'JSON lines of tokens or text; - for stdin')
    .option('--output <file>', 'JSON lines; stdout when not given')
    .option('--candidates <ids>', 'token ids separated by commas, instead of the whole vocabulary', tokenList);
  withRunOptions(command).addHelpText('after', EXAMPLES).action(logits);
}

type Record = InputRecord<SequenceRecord> & { readonly id: string };

function sequenceOf(record: Record, config: ModelConfig, tokenizer: ModelTokenizer | undefined): Sequence {
  const { tokens, text } = record.value;
  const ids = tokens ?? tokenizer?.encode(text ?? '') ?? [];
  checkTokens(ids, config, whereIs(record));
  return { id: record.id, tokens: Uint32Array.from(ids) };
}

function checkCandidates(candidates: readonly number[] | undefined, { vocabSize }: ModelConfig): void {
  const wrong = candidates?.find((token) => token >= vocabSize);
  if (wrong !== undefined) throw new InputError('--candidates', String(wrong), `expected tokens from 0 to ${vocabSize - 1}`);
}

/** Tokenizes; a model without a tokenizer will do when every line has tokens. */
async function sequencesOf(records: readonly Record[], model: ChosenModel, candidates: readonly number[] | undefined): Promise<Sequence[]> {
  checkCandidates(candidates, model.config);
  const tokenizer = records.some(({ value }) => value.text !== undefined) ? await model.tokenizer() : undefined;
  return records.map((record) => sequenceOf(record, model.config, tokenizer));
}

async function logits(flags: LogitsFlags): Promise<void> {
  await checkTraceFile(flags.trace);
  const records = withIds(await readRecords([flags.input], { schema: sequenceRecord }));
  const model = await chooseModel(flags);
  const sequences = await sequencesOf(records, model, flags.candidates);
  const lines = await openJsonLines(flags.output === undefined ? { json: true } : { output: flags.output });
  const progress = createProgress();
  const session = await openSession(model, flags, progress, flags.trace !== undefined);
  try {
    for await (const { id, logits: row } of session.answers(sequences, flags.candidates ?? null)) {
      await lines.write({ id, logits: Array.from(row) });
    }
    await saveTrace(session, flags.trace);
  } finally {
    progress.stop();
    await session.close();
    await lines.close();
  }
}
