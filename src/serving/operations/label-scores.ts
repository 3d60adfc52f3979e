/** Probabilities of given tokens after given prompts: what SGLang's `/v1/score` and vLLM's `/generative_scoring` both ask for. */
import type * as z from 'zod';
import { InputError } from '../../errors.ts';
import { softmax } from '../../model/tasks.ts';
import type { ServingAnswer } from '../requests.ts';
import { askAll, usageOf, type usageSchema } from './asking.ts';
import type { OperationContext, ServedModel } from './operation.ts';

export interface LabelScores {
  /** Of each prompt in turn, in the order of the labels. */
  readonly probabilities: readonly (readonly number[])[];
  readonly usage: z.infer<typeof usageSchema>;
}

/** @param amongLabels normalise over the labels alone, not over the whole vocabulary */
export async function labelScores(
  prompts: readonly Uint32Array[], labels: readonly number[], amongLabels: boolean, context: OperationContext,
): Promise<LabelScores> {
  const requests = prompts.map((tokens) => ({ tokens, candidates: labels, ...(!amongLabels && { scored: 1, top: 0 }) }));
  const answers = await askAll(requests, context);
  return {
    probabilities: answers.map((answer) => (amongLabels ? softmax(answer.logits) : overVocabulary(answer))),
    usage: usageOf(requests, answers),
  };
}

/** exp(logit - log of the sum of exp over all logits) */
function overVocabulary({ logits, scores }: ServingAnswer): number[] {
  const normalizer = scores!.normalizers[0]!;
  return Array.from(logits, (logit) => Math.exp(logit - normalizer));
}

/** @throws InputError naming the label */
export function checkLabels(labels: readonly number[], { config: { vocabSize } }: ServedModel): void {
  const at = labels.findIndex((token) => token >= vocabSize);
  if (at >= 0) throw new InputError(`label_token_ids[${at}]`, '', `expected a token from 0 to ${vocabSize - 1}, got ${labels[at]}`);
}
