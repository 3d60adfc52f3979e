/** What a tab runs, on a software adapter of this machine: Node has the same fetch and the same WebGPU. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { classifyInTab, openBrowserModel, TabEngine, type BrowserModel, type Progress } from '../../src/browser/index.ts';
import { openDevice } from '../../src/runtime/device.ts';
import { readShader } from '../../src/node/shaders.ts';
import { waitFor } from '../../src/node/pacing.ts';
import type { StreamStrategy } from '../../src/strategy/index.ts';
import type { TraceEvent } from '../../src/trace/events.ts';
import { openAdapter } from '../runtime/adapters.ts';
import { relativeError } from '../strategy/golden.ts';
import { LAYER_BYTES, mailCases } from './mails.ts';
import { serveFolder, type StaticServer } from './static-server.ts';

const FOLDER = fileURLToPath(new URL('../../models/spam-mail', import.meta.url));
const TEMPLATE = readFileSync(`${FOLDER}/template.jinja`, 'utf8');
const LABELS = ['spam', 'ham'];
const MAILS = mailCases(['spam-2/00217', 'easy-ham-1/00807']);
let server: StaticServer;
let model: BrowserModel;
beforeAll(async () => {
  server = await serveFolder(FOLDER);
  model = await openBrowserModel(server.url);
});
afterAll(async () => {
  await model.close();
  await server.close();
});

async function openEngine(strategy: StreamStrategy, onProgress?: (progress: Progress) => void): Promise<TabEngine> {
  const adapter = await openAdapter('lavapipe');
  const gpu = await openDevice(adapter.adapter, { shaders: readShader, wait: waitFor(adapter) });
  return TabEngine.open(model.weights, gpu, { strategy, ...(onProgress && { onProgress }) });
}

const layersOf = (trace: readonly TraceEvent[], track: TraceEvent['track']): unknown[] =>
  [...new Set(trace.filter((event) => event.track === track && event.args?.['layer'] !== undefined).map((event) => event.args?.['layer']))].sort();

describe.each(['asyncep', 'sync', 'resident'] as const)('under %s', (strategy) => {
  it('mails have the logits of transformers, and their labels', async () => {
    const engine = await openEngine(strategy);
    for (const { text, label, logits, tokens } of MAILS) {
      const answer = await classifyInTab(engine, model, { text, labels: LABELS, template: TEMPLATE });
      expect(answer.answer).toBe(label);
      expect(answer.tokens).toBe(tokens);
      expect(relativeError(answer.logits, logits)).toBeLessThan(1e-4);
      const weights = logits.map((logit) => Math.exp(logit - Math.max(...logits)));
      for (const [i, name] of LABELS.entries()) expect(answer.probabilities[name]).toBeCloseTo((weights[i] as number) / weights.reduce((a, b) => a + b), 3);
    }
    await engine.close();
  });
});

describe('a pass under asyncep', () => {
  it('streams every layer but the first from the server, each time anew', async () => {
    const engine = await openEngine('asyncep');
    const before = server.sentBytes.get('model.safetensors') as number;
    const passes = 3;
    for (let pass = 0; pass < passes; pass++) {
      const { streamedBytes } = await classifyInTab(engine, model, { text: 'a short mail', labels: LABELS });
      expect(streamedBytes).toBe(3 * LAYER_BYTES);
    }
    await engine.close();
    const sent = (server.sentBytes.get('model.safetensors') as number) - before;
    // Two layers may have been fetched before the first pass, and two for a next pass after the last one.
    expect(sent).toBeGreaterThanOrEqual((3 * passes - 2) * LAYER_BYTES);
    expect(sent).toBeLessThanOrEqual((3 * passes + 2) * LAYER_BYTES);
  });

  it('is told as a timeline: gathers and copies of the layers that travel, compute of all, live as in the answer', async () => {
    const engine = await openEngine('asyncep');
    const live: TraceEvent[] = [];
    await classifyInTab(engine, model, { text: 'the first mail', labels: LABELS });
    const { trace, gatherMs, pass } = await classifyInTab(engine, model, { text: 'the second mail', labels: LABELS, onTrace: (event) => live.push(event) });
    await engine.close();
    expect(pass).toBe(1);
    expect(new Set(trace.map((event) => event.args?.['pass']))).toEqual(new Set([1]));
    expect(layersOf(trace, 'receive')).toEqual([1, 2, 3]);
    expect(layersOf(trace, 'slot')).toEqual([1, 2, 3]);
    expect(layersOf(trace, 'compute')).toEqual([0, 1, 2, 3]);
    expect(trace.map(({ startUs }) => startUs)).toEqual(trace.map(({ startUs }) => startUs).toSorted((a, b) => a - b));
    expect(live).toEqual(expect.arrayContaining(trace.filter(({ track }) => track === 'compute')));
    const received = trace.filter(({ track }) => track === 'receive');
    expect(received).toHaveLength(3);
    expect(gatherMs).toBeCloseTo(received.reduce((sum, { durationUs }) => sum + durationUs, 0) / 1e3, 6);
    // The last layer is fetched within its pass, and computes when its slot is full.
    const last = (track: string): TraceEvent[] => trace.filter((event) => event.track === track && event.args?.['layer'] === 3);
    const filledUs = Math.max(...last('slot').map(({ startUs, durationUs }) => startUs + durationUs));
    expect(Math.min(...last('compute').map(({ startUs }) => startUs))).toBeGreaterThanOrEqual(filledUs);
  });

  it('tells how far it is: layers loaded, then layers of each pass', async () => {
    const loading: Progress[] = [];
    const engine = await openEngine('asyncep', (progress) => loading.push(progress));
    expect(loading).toEqual([1, 2, 3, 4].map((done) => ({ step: 'weights', done, of: 4 })));
    const passing: Progress[] = [];
    await classifyInTab(engine, model, { text: 'a mail', labels: LABELS, onProgress: (progress) => passing.push(progress) });
    expect(passing).toEqual([1, 2, 3, 4].map((done) => ({ step: 'layers', done, of: 4 })));
    await engine.close();
  });

  it('calls at once wait for each other and get their own answers', async () => {
    const engine = await openEngine('asyncep');
    const answers = await Promise.all(MAILS.map(({ text }) => classifyInTab(engine, model, { text, labels: LABELS, template: TEMPLATE })));
    expect(answers.map(({ answer, pass }) => [answer, pass])).toEqual(MAILS.map(({ label }, i) => [label, i]));
    await engine.close();
  });

  it('a text that is refused costs nothing, and the next one is answered', async () => {
    const engine = await openEngine('asyncep');
    const ask = (text: string, labels = LABELS) => classifyInTab(engine, model, { text, labels, template: TEMPLATE });
    await expect(ask('')).rejects.toThrow('text: text: is empty; expected a text');
    await expect(ask('word '.repeat(3000))).rejects.toThrow(/expected at most 2048/);
    await expect(ask('a mail', ['spam', 'certainly not'])).rejects.toThrow(/expected a label of one token/);
    expect((await ask((MAILS[0] as (typeof MAILS)[number]).text)).answer).toBe('spam');
    await engine.close();
  });

  it('a server that goes away ends the pass with the file that could not be read', async () => {
    const engine = await openEngine('asyncep');
    server.misbehave = (_, response) => { response.writeHead(500).end(); return true; };
    const failed = async (): Promise<void> => { for (let i = 0; i < 3; i++) await classifyInTab(engine, model, { text: 'a mail', labels: LABELS }); };
    await expect(failed()).rejects.toThrow(`${server.url.href}model.safetensors: the server answered 500`);
    server.misbehave = () => false;
    await engine.close();
  });
});
