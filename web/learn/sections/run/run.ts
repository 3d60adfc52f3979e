/** One text field, one answer, and what it took. */
import { classifyInTab, openBrowserDevice, openBrowserModel, TabEngine, type Progress, type TabAnswer } from '../../../../src/browser/index.ts';
import { readShader } from './shaders.ts';

const LABELS = ['spam', 'ham'];
const MODEL_FILES = ['config.json', 'model.safetensors', 'template.jinja', 'tokenizer.json', 'tokenizer_config.json'];

function element<T extends Element>(selector: string): T {
  const found = document.querySelector<T>(selector);
  if (found === null) throw new Error(`the page has no ${selector}`);
  return found;
}

const form = (): HTMLFormElement => element('#run form');
const button = (): HTMLButtonElement => element('#run form button');
const state = (): HTMLOutputElement => element('#state');
const problem = (): HTMLElement => element('#problem');

function fail(error: unknown): void {
  problem().textContent = error instanceof Error ? error.message : String(error);
  problem().hidden = false;
  state().value = 'stopped';
}

function show(answered: TabAnswer): void {
  const { answer, probabilities, wallMs } = answered;
  element('#answer').textContent = `${answer} (${(100 * (probabilities[answer] as number)).toFixed(1)} %), ${wallMs.toFixed(0)} ms`;
  element('#details').textContent = JSON.stringify({ ...answered, logits: [...answered.logits] }, null, 1);
}

/** Opens device and model. Returns what answers. */
async function start(): Promise<(text: string) => Promise<TabAnswer>> {
  const gpu = await openBrowserDevice(navigator.gpu, { shaders: readShader });
  const model = await openBrowserModel('./spam-mail/', { names: MODEL_FILES });
  const template = await model.files.text('template.jinja');
  const onProgress = ({ done, of }: Progress): void => { state().value = done < of ? `loading layer ${done} of ${of}` : 'compiling kernels'; };
  const engine = await TabEngine.open(model.weights, gpu, { onProgress });
  return (text) => classifyInTab(engine, model, {
    text, labels: LABELS, template, maxTokens: model.weights.config.maxPositionEmbeddings,
    onProgress: ({ done, of }) => { state().value = `layer ${done} of ${of}`; },
  });
}

async function run(classify: (text: string) => Promise<TabAnswer>): Promise<void> {
  button().disabled = true;
  problem().hidden = true;
  try {
    show(await classify(String(new FormData(form()).get('text'))));
    state().value = 'ready';
  } catch (error) {
    fail(error);
  } finally {
    button().disabled = false;
  }
}

/** Once the section is there. */
export async function begin(): Promise<void> {
  try {
    const classify = await start();
    form().addEventListener('submit', (event) => {
      event.preventDefault();
      void run(classify);
    });
    button().disabled = false;
    state().value = 'ready';
  } catch (error) {
    fail(error);
  }
}
