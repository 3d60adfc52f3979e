/** What is asked in this tab, how far it is, and what came of it. */
import { computed, signal } from '@preact/signals';
import type { TabAnswer } from '../../../../src/browser/index.ts';
import { whyNoWebGpu } from '../../../../src/browser/webgpu.ts';
import type { StreamStrategy } from '../../../../src/strategy/index.ts';
import { showRun } from '../trace/runs.ts';
import examples from './examples.json' with { type: 'json' };

/** A held-out mail of the model's folder. */
export interface Example {
  readonly id: string;
  readonly title: string;
  readonly label: string;
  readonly text: string;
}
export const EXAMPLES: readonly Example[] = examples;

/** What travels, and when; the names are those of `--strategy`. */
export const WAYS: readonly { readonly strategy: StreamStrategy; readonly text: string }[] = [
  { strategy: 'asyncep', text: 'while the layer before computes' },
  { strategy: 'sync', text: 'when a layer asks for them, and it waits' },
  { strategy: 'resident', text: 'never: all of them stay on the device' },
];

/** An answer with what was asked. */
export interface Answered extends TabAnswer {
  readonly strategy: StreamStrategy;
  /** The picked mail's true label; undefined for a text of the reader's own. */
  readonly truth: string | undefined;
}

export const text = signal(EXAMPLES[0]?.text ?? '');
export const strategy = signal<StreamStrategy>('asyncep');
/** What is being done; null: nothing. */
export const doing = signal<string | null>(null);
export const problem = signal<string | null>(null);
/** Newest last. */
export const answers = signal<readonly Answered[]>([]);

/** The picked mail, as long as nobody has changed its text. */
export const example = computed(() => EXAMPLES.find((one) => one.text === text.value));
export const hasWebGpu = globalThis.navigator?.gpu !== undefined;
if (!hasWebGpu) problem.value = whyNoWebGpu();

/** Asks the model; its timeline goes into the drawing. */
export async function ask(): Promise<void> {
  const [asked, truth, way] = [text.value, example.value?.label, strategy.value];
  problem.value = null;
  doing.value = 'loading the program';
  try {
    const { classify } = await import('./engine.ts');
    const answered: Answered = { ...await classify(asked, way, (now) => { doing.value = now; }), strategy: way, truth };
    answers.value = [...answers.value, answered];
    showRun({ label: `answer ${answers.value.length} of this tab, ${way}`, events: answered.trace });
  } catch (error) {
    problem.value = error instanceof Error ? error.message : String(error);
  } finally {
    doing.value = null;
  }
}
