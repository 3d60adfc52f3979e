/**
 * The lines of batch files, in the format of OpenAI's batch API: a request a line goes in, an answer a line comes out.
 * A line that is a request gets a `response`, whatever its status; a line that is none gets an `error`.
 */
import { z } from 'zod';

/** A request of the input. */
export const batchRequestSchema = z.looseObject({
  custom_id: z.string({ error: 'expected a string' }),
  method: z.string({ error: 'expected "POST"' }),
  url: z.string({ error: 'expected the path of an operation, such as "/v1/completions"' }),
  body: z.record(z.string(), z.unknown(), { error: 'expected a JSON object' }),
}, { error: (issue) => (issue.code === 'invalid_type' ? 'expected a JSON object' : undefined) });
export type BatchRequest = z.infer<typeof batchRequestSchema>;

/** An answer of the output. The id holds the number of the input's line, from 1. */
export const batchAnswerSchema = z.object({
  id: z.string().regex(/^batch_req_[1-9]\d*$/),
  /** Null where the input's line has none. */
  custom_id: z.string().nullable(),
  response: z.object({ status_code: z.int(), request_id: z.string(), body: z.unknown() }).nullable(),
  error: z.object({ code: z.string(), message: z.string(), line: z.int() }).nullable(),
});
export type BatchAnswer = z.infer<typeof batchAnswerSchema>;

const ID_PREFIX = 'batch_req_';

export const answerId = (line: number): string => `${ID_PREFIX}${line}`;

/** Number of the input's line that an answer is for. */
export const lineOf = ({ id }: BatchAnswer): number => Number(id.slice(ID_PREFIX.length));

export const isFailure = ({ response }: BatchAnswer): boolean => response === null || response.status_code >= 400;

/** What a line of the input turned out to be. */
export type ParsedLine =
  | { readonly request: BatchRequest; readonly customId: string }
  /** `problem` as half a sentence with the field in front; `customId` where one can be read all the same. */
  | { readonly request: null; readonly customId: string | null; readonly problem: string };

function customIdOf(json: unknown): string | null {
  const id = typeof json === 'object' && json !== null ? (json as Record<string, unknown>)['custom_id'] : undefined;
  return typeof id === 'string' ? id : null;
}

/** Reads a line as a request, or says why it is none. */
export function parseLine(text: string): ParsedLine {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { request: null, customId: null, problem: `is not valid JSON: ${(error as Error).message}` };
  }
  const { success, data, error } = batchRequestSchema.safeParse(json);
  if (success) return { request: data, customId: data.custom_id };
  const issue = error.issues[0];
  const field = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.map(String).join('.')}: `;
  return { request: null, customId: customIdOf(json), problem: `${field}${issue?.message ?? 'is no request'}` };
}
