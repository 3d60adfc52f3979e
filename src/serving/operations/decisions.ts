/**
 * Decisions: the prefill-only patterns of the paper (section 1) as one operation. A single choice is one prompt whose options are named A, B, C and so on;
 * a multi-selection is one yes-or-no prompt for each option, siblings that share everything before the option; a verification is one yes-or-no prompt.
 */
import * as z from 'zod';
import type { Task } from '../../model/tasks.ts';
import { checkModel, header, headerOf, modelField, usageSchema } from './asking.ts';
import { labelsField, textField, textsField } from './fields.ts';
import type { Operation, OperationContext, ServedModel } from './operation.ts';
import { judgeAll, taskFor, type TaskQuestion, type TaskVerdicts } from './tasks.ts';

const LETTERS = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'];

// What many requests share stands first: instructions, then the context, then what differs.
const INSTRUCTIONS = '{% if instructions %}{{ instructions }}\n\n{% endif %}';
const CHOICE = `${INSTRUCTIONS}{{ text }}

{% if question %}{{ question }}

{% endif %}{% for option in options %}{{ option }}
{% endfor %}

Answer with the letter of the option that fits best: {{ labels | join(", ") }}.
Answer:`;
const SELECTION = `${INSTRUCTIONS}{{ query }}

{% if question %}{{ question }}

{% endif %}Option:
{{ candidate }}

Does the option fit? Answer with one of these words: {{ labels | join(", ") }}.
Answer:`;
const VERIFICATION = `${INSTRUCTIONS}Evidence:
{{ evidence }}

Claim:
{{ claim }}

Does the evidence support the claim? Answer with one of these words: {{ labels | join(", ") }}.
Answer:`;

const common = {
  model: modelField,
  instructions: z.string().nullish().describe('Comes first in the prompt: what all requests of a kind share.'),
};
const context = textField('What the decision is about: a document, a profile, a conversation. Comes before everything that differs between requests about it.');
const question = z.string().nullish().describe('What is asked about the context.');
const labels = labelsField('The positive answer and the negative one, each one token; "yes" and "no" by default.', 2).nullish();
const threshold = z.number().min(0).max(1).nullish();

const choice = z.object({
  kind: z.literal('choice').describe('One of several options.'),
  ...common, context, question,
  options: textsField('What to choose from; named A, B, C ... in the prompt.', 2, LETTERS.length),
});
const multi = z.object({
  kind: z.literal('multi').describe('Every option that fits: recommendation, ranking, several labels.'),
  ...common, context, question,
  options: textsField('What to choose from: one prompt for each.', 1, 2 ** 20),
  labels,
  threshold: threshold.describe('Options of at least this probability are selected; 0.5 by default, 0 with top_k.'),
  top_k: z.int().min(1).nullish().describe('At most so many are selected, the likeliest.'),
});
const verify = z.object({
  kind: z.literal('verify').describe('Whether evidence supports a claim.'),
  ...common,
  claim: textField('What is to be verified.'),
  evidence: textField('What it is verified against; comes before the claim, so that several claims share it.'),
  labels,
  threshold: threshold.describe('Probability from which the positive answer is given; 0.5 by default.'),
});
const body = z.discriminatedUnion('kind', [choice, multi, verify], { error: 'expected "choice", "multi" or "verify"' });
type Body = z.infer<typeof body>;

const response = z.object({
  ...header('decision'),
  kind: z.enum(['choice', 'multi', 'verify']),
  selected: z.array(z.string()).describe('Texts of what was selected, the likeliest first.'),
  options: z.array(z.object({
    index: z.int(), option: z.string(), selected: z.boolean(),
    probability: z.number().describe('choice, verify: among the options; multi: of the positive answer for this option.'),
  })).describe('In the order of the request; those of verify are its two answers.'),
  usage: usageSchema,
});

/** What is chosen from, with the probability of each, and what is chosen: indices, the likeliest first. */
interface Decision {
  readonly options: readonly string[];
  readonly probabilities: readonly number[];
  readonly selected: readonly number[];
  readonly usage: TaskVerdicts['usage'];
}

/** Indices by falling probability, the earlier one first among equals. */
const likeliest = (probabilities: readonly number[]): number[] =>
  probabilities.map((_, i) => i).sort((a, b) => probabilities[b]! - probabilities[a]!);

/** Asks one question. */
async function judgeOne(task: Task, question: TaskQuestion, context: OperationContext): Promise<Pick<Decision, 'probabilities' | 'usage'>> {
  const { probabilities: [only = []], usage } = await judgeAll(task, { items: [question], field: question.where, question: () => question }, context);
  return { probabilities: only, usage };
}

async function choose({ context: text, instructions, question, options }: z.infer<typeof choice>, context: OperationContext): Promise<Decision> {
  const task = taskFor({ kind: 'classify', labels: LETTERS.slice(0, options.length), template: CHOICE, labelsSource: 'options' }, context.model);
  const named = options.map((option, i) => `${LETTERS[i]}. ${option}`);
  const { probabilities, usage } = await judgeOne(task, { record: { text, instructions, question, options: named }, where: 'context' }, context);
  return { options, probabilities, selected: likeliest(probabilities).slice(0, 1), usage };
}

async function select(asked: z.infer<typeof multi>, context: OperationContext): Promise<Decision> {
  const { context: query, instructions, question, options, labels, top_k: topK, threshold } = asked;
  const task = taskFor({ kind: 'rerank', labels, template: SELECTION }, context.model);
  const sibling = (candidate: string, i: number): TaskQuestion => ({ record: { query, candidate, instructions, question }, where: `options[${i}]` });
  const verdicts = await judgeAll(task, { items: options, field: 'options', question: sibling }, context);
  const probabilities = verdicts.probabilities.map(([positive]) => positive!);
  const least = threshold ?? (topK == null ? 0.5 : 0);
  const fitting = likeliest(probabilities).filter((i) => probabilities[i]! >= least);
  return { options, probabilities, selected: topK == null ? fitting : fitting.slice(0, topK), usage: verdicts.usage };
}

async function support({ claim, evidence, instructions, labels, threshold }: z.infer<typeof verify>, context: OperationContext): Promise<Decision> {
  const task = taskFor({ kind: 'verify', labels, template: VERIFICATION }, context.model);
  const { probabilities, usage } = await judgeOne(task, { record: { claim, evidence, instructions }, where: 'evidence' }, context);
  return { options: task.labels, probabilities, selected: [probabilities[0]! >= (threshold ?? 0.5) ? 0 : 1], usage };
}

function decide(asked: Body, context: OperationContext): Promise<Decision> {
  switch (asked.kind) {
    case 'choice': return choose(asked, context);
    case 'multi': return select(asked, context);
    default: return support(asked, context);
  }
}

function responseOf(kind: Body['kind'], { options, probabilities, selected, usage }: Decision, model: ServedModel): z.infer<typeof response> {
  const chosen = new Set(selected);
  return {
    ...headerOf('decision', 'decision', model), kind,
    selected: selected.map((i) => options[i]!),
    options: options.map((option, index) => ({ index, option, selected: chosen.has(index), probability: probabilities[index]! })),
    usage,
  };
}

export const decisions: Operation = {
  name: 'decisions',
  path: '/v1/decisions',
  summary: 'A choice among options, a selection of all that fit, or a verification.',
  body, response,
  run: async (body, context) => {
    const asked = body as Body;
    checkModel(asked.model, context.model);
    return responseOf(asked.kind, await decide(asked, context), context.model);
  },
};
