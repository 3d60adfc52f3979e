/** Device, model and engine of this tab: a module of its own, loaded when the first mail is asked about. */
import { classifyInTab, openBrowserDevice, openBrowserModel, TabEngine, type BrowserModel, type Progress, type TabAnswer } from '../../../../src/browser/index.ts';
import type { StreamStrategy } from '../../../../src/strategy/index.ts';
import { readShader } from './shaders.ts';

const LABELS = ['spam', 'ham'];
const MODEL_FILES = ['config.json', 'model.safetensors', 'template.jinja', 'tokenizer.json', 'tokenizer_config.json'];

/** What is being done, for people. */
export type Tell = (doing: string) => void;

interface Opened {
  readonly model: BrowserModel;
  readonly template: string;
}

let opened: Promise<Opened> | undefined;
let running: { readonly strategy: StreamStrategy; readonly engine: TabEngine } | undefined;

async function readModel(): Promise<Opened> {
  const model = await openBrowserModel('./spam-mail/', { names: MODEL_FILES });
  return { model, template: await model.files.text('template.jinja') };
}

/** One for all engines; after a failure the next call tries again. */
function openModel(): Promise<Opened> {
  opened ??= readModel().catch((error: unknown) => {
    opened = undefined;
    throw error;
  });
  return opened;
}

/** The engine of `strategy`; that of another one gives its device back. */
async function openEngine(strategy: StreamStrategy, model: BrowserModel, tell: Tell): Promise<TabEngine> {
  if (running?.strategy === strategy) return running.engine;
  await close();
  const gpu = await openBrowserDevice(navigator.gpu, { shaders: readShader });
  const onProgress = ({ done, of }: Progress): void => tell(done < of ? `loading layer ${done} of ${of}` : 'compiling kernels');
  const engine = await TabEngine.open(model.weights, gpu, { strategy, onProgress });
  running = { strategy, engine };
  return engine;
}

async function close(): Promise<void> {
  const engine = running?.engine;
  running = undefined;
  await engine?.close();
}

/**
 * Spam or ham? Opens first what is not open yet.
 * @throws AsyncepError that says what is wrong; an engine that failed is closed, and the next call opens another
 */
export async function classify(text: string, strategy: StreamStrategy, tell: Tell): Promise<TabAnswer> {
  tell('opening the model');
  const { model, template } = await openModel();
  const engine = await openEngine(strategy, model, tell);
  try {
    return await classifyInTab(engine, model, {
      text, labels: LABELS, template, maxTokens: model.weights.config.maxPositionEmbeddings,
      onProgress: ({ done, of }) => tell(`layer ${done} of ${of}`),
    });
  } catch (error) {
    await close();
    throw error;
  }
}
