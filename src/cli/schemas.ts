/** What a line of input must hold, per command; unknown fields are kept, so that a template can use them. */
import { z } from 'zod';

/** A string with something in it besides blanks. */
const nonEmpty = z.string({ error: 'expected a non-empty string' }).refine((text) => text.trim() !== '', {
  error: 'expected a non-empty string',
});

const id = z.union([z.string().min(1), z.number()], { error: 'expected a string or a number' }).optional();

const objectOf = <T extends z.ZodRawShape>(shape: T) =>
  z.looseObject(shape, { error: (issue) => (issue.code === 'invalid_type' ? 'expected a JSON object' : undefined) });

/** `classify`, and the candidates of `rerank`. */
export const documentRecord = objectOf({ id, text: nonEmpty });

/** Held-out mails of the demo. */
export const mailRecord = objectOf({ id, text: nonEmpty, label: z.enum(['spam', 'ham'], { error: 'expected "spam" or "ham"' }) });

/** `verify`. */
export const claimRecord = objectOf({ id, claim: nonEmpty, evidence: nonEmpty });

const tokenIds = z.array(z.number({ error: 'expected a token id' }).int({ error: 'expected a whole number' }).nonnegative({
  error: 'expected a token id of 0 or more',
}), { error: 'expected a list of token ids' }).min(1, { error: 'expected at least one token id' });

/** `logits`: token ids, or text to tokenize as it is. */
export const sequenceRecord = objectOf({ id, tokens: tokenIds.optional(), text: nonEmpty.optional() }).refine(
  ({ tokens, text }) => (tokens === undefined) !== (text === undefined),
  { error: 'expected either "tokens" or "text"' },
);

export type DocumentRecord = z.infer<typeof documentRecord>;
export type ClaimRecord = z.infer<typeof claimRecord>;
export type SequenceRecord = z.infer<typeof sequenceRecord>;
export type MailRecord = z.infer<typeof mailRecord>;
