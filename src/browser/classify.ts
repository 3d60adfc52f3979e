/** A text, its labels, and what the model in this tab says: the way of `asyncep classify`. */
import { createTask, softmax } from '../model/tasks.ts';
import type { BrowserModel } from './model.ts';
import type { OnProgress, OnTrace, TabEngine, TabPass } from './tab-engine.ts';

export interface TabQuestion {
  readonly text: string;
  /** At least two words of one token each. */
  readonly labels: readonly string[];
  /** Jinja text with `{{ text }}`; the built-in prompt of `asyncep classify` by default. */
  readonly template?: string;
  /** Shortens the text from its end until the prompt has at most so many tokens; without it a prompt that is too long is refused. */
  readonly maxTokens?: number;
  readonly onTrace?: OnTrace;
  readonly onProgress?: OnProgress;
}

export interface TabAnswer extends TabPass {
  /** The most probable label. */
  readonly answer: string;
  /** Of each label. */
  readonly probabilities: Readonly<Record<string, number>>;
  /** What the model read. */
  readonly prompt: string;
  /** The text was shortened. */
  readonly truncated: boolean;
}

/**
 * One text, one pass. Calls wait for each other.
 * @throws InputError naming what is wrong with text, labels or template; DeviceError when the device is lost
 */
export async function classifyInTab(engine: TabEngine, { tokenizer, weights: { config } }: Pick<BrowserModel, 'tokenizer' | 'weights'>, question: TabQuestion): Promise<TabAnswer> {
  const { text, labels, template, maxTokens, onTrace, onProgress } = question;
  const task = createTask({ kind: 'classify', tokenizer, config, labels, template, templateSource: 'template', maxTokens });
  const prompt = task.prompt({ text }, 'text');
  const batch = { sequences: [{ tokens: Uint32Array.from(prompt.tokens) }], candidates: Uint32Array.from(prompt.candidates) };
  const pass = await engine.forward(batch, onTrace, onProgress);
  const probabilities = softmax(pass.logits);
  const answer = labels[probabilities.indexOf(Math.max(...probabilities))] as string;
  return {
    ...pass, answer, probabilities: Object.fromEntries(labels.map((label, i) => [label, probabilities[i] as number])),
    prompt: prompt.text, truncated: prompt.truncated,
  };
}
