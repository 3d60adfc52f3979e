/** The tasks and their default templates. A template of the user's own has the same variables. */

/** classify: one text, one of several labels. rerank: a query and a candidate. verify: a claim and its evidence. */
export type TaskKind = 'classify' | 'rerank' | 'verify';

export interface TaskSpec {
  /** What a record must have, in the order in which messages list it. */
  readonly variables: readonly string[];
  /** The variable that is shortened when a prompt is too long. */
  readonly trimmed: string;
  /** Labels when the user gives none; the first is the positive one. */
  readonly labels: readonly string[];
  readonly template: string;
}

/**
 * What requests share stands first (instruction, query, evidence), what differs last, so that prefixes can be cached; and the text ends without
 * whitespace, so that the answer is the token of a word with its leading space.
 */
export const TASKS: Readonly<Record<TaskKind, TaskSpec>> = {
  classify: {
    variables: ['text'],
    trimmed: 'text',
    labels: [],
    template: `Classify the text. Answer with one of these words: {{ labels | join(", ") }}.

Text:
{{ text }}

Answer:`,
  },
  rerank: {
    variables: ['query', 'candidate'],
    trimmed: 'candidate',
    labels: ['yes', 'no'],
    template: `Does the candidate fit the query? Answer with one of these words: {{ labels | join(", ") }}.

Query:
{{ query }}

Candidate:
{{ candidate }}

Answer:`,
  },
  verify: {
    variables: ['claim', 'evidence'],
    trimmed: 'evidence',
    labels: ['yes', 'no'],
    template: `Does the evidence support the claim? Answer with one of these words: {{ labels | join(", ") }}.

Evidence:
{{ evidence }}

Claim:
{{ claim }}

Answer:`,
  },
};
