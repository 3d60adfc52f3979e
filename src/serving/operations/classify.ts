/** Classification in the shape of vLLM: one of several labels for each text. */
import * as z from 'zod';
import { InputError } from '../../errors.ts';
import { checkModel, header, headerOf, modelField, usageSchema } from './asking.ts';
import { labelsField, textOrTexts } from './fields.ts';
import type { Operation, OperationContext } from './operation.ts';
import { answerFields, checkTemplate, judgeAll, taskFor, type TaskQuestion, templateField } from './tasks.ts';

const body = z.object({
  model: modelField,
  input: textOrTexts('One text or several.'),
  labels: labelsField('The labels, each one token of the model; those that the server was started with by default.').nullish(),
  template: templateField('Jinja template of the prompt with {{ text }} and, if wanted, {{ labels }}; that of the server by default.'),
  truncate_prompt_tokens: answerFields.truncate_prompt_tokens,
});
type Body = z.infer<typeof body>;

const response = z.object({
  ...header('list'),
  data: z.array(z.object({
    index: z.int(),
    label: z.string().describe('The most probable label.'),
    probs: z.array(z.number()).describe('Of the labels in their order, among each other.'),
    num_classes: z.int(),
  })),
  usage: usageSchema,
});

async function run(asked: Body, context: OperationContext): Promise<z.infer<typeof response>> {
  const { model } = context;
  checkModel(asked.model, model);
  checkTemplate(asked.template, model);
  const labels = asked.labels ?? model.labels;
  if (labels === undefined) throw new InputError('labels', '', 'is missing, and the server was started without --labels; expected a list of at least two texts');
  const truncateTo = asked.truncate_prompt_tokens;
  const task = taskFor({ kind: 'classify', labels, template: asked.template ?? model.template, truncateTo }, model);
  const texts = typeof asked.input === 'string' ? [asked.input] : asked.input;
  const question = (text: string, i: number): TaskQuestion => ({ record: { text }, where: texts.length === 1 ? 'input' : `input[${i}]` });
  const { probabilities, usage } = await judgeAll(task, { items: texts, field: 'input', question, truncates: truncateTo != null }, context);
  return {
    ...headerOf('list', 'classify', model),
    data: probabilities.map((probs, index) => ({
      index, label: task.labels[probs.indexOf(Math.max(...probs))]!, probs: [...probs], num_classes: probs.length,
    })),
    usage,
  };
}

export const classify: Operation = {
  name: 'classify',
  path: '/v1/classify',
  summary: 'One of several labels for each text.',
  body, response,
  run: (asked, context) => run(asked as Body, context),
};
