/** The same questions in process and over HTTP. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { softmax } from '../../src/model/tasks.ts';
import { createApp } from '../../src/serving/http/app.ts';
import { type Listener, openListener } from '../../src/serving/http/listener.ts';
import { registerStatusPage } from '../../src/serving/http/status-page.ts';
import { createMetrics } from '../../src/serving/metrics.ts';
import type { ServedModel } from '../../src/serving/operations/operation.ts';
import { taskFor } from '../../src/serving/operations/tasks.ts';
import type { Service } from '../../src/serving/service.ts';
import type { Child } from './child.ts';
import type { Load, Loaded } from './load-client.ts';
import type { Asked } from './post.ts';

/** What one run of a list of requests took. */
export interface Took {
  readonly wallMs: number;
  /** Of this process, which has the service and the server but neither engines nor client. */
  readonly cpuMs: number;
  /** Of the client's process; 0 in process. */
  readonly clientCpuMs: number;
  /** Probabilities, in the order of the questions. */
  readonly answers: readonly (readonly number[])[];
}

/** A text to classify, or a prompt that is tokens already. */
export type Question = { readonly kind: 'mail'; readonly text: string } | { readonly kind: 'tokens'; readonly tokens: readonly number[]; readonly labels: readonly number[] };

const asRequest = (question: Question): Asked => (question.kind === 'mail'
  ? { path: '/v1/classify', body: JSON.stringify({ input: question.text }) }
  : { path: '/v1/score', body: JSON.stringify({ query: question.tokens.slice(0, -1), items: [question.tokens.slice(-1)], label_token_ids: question.labels, apply_softmax: true }) });

const parseAnswer = (body: string): readonly number[] => {
  const { data, scores } = JSON.parse(body) as { data?: { probs: number[] }[]; scores?: number[][] };
  return data?.[0]?.probs ?? scores?.[0] ?? [];
};

/** `atOnce` workers, each with the next question as soon as it has its answer. */
export async function inProcess(service: Service, model: ServedModel, questions: readonly Question[], atOnce: number): Promise<Took> {
  const answers: number[][] = [];
  let next = 0;
  // One prompt in each turn of the event loop: engines need not wait until all are tokenised.
  let turn = Promise.resolve<unknown>(null);
  const worker = async (): Promise<void> => {
    for (let at = next++; at < questions.length; at = next++) {
      const question = questions[at]!;
      await (turn = turn.then(() => nextTurn()));
      const { tokens, candidates } = question.kind === 'tokens'
        ? { tokens: question.tokens, candidates: question.labels }
        : taskFor({ kind: 'classify', labels: model.labels, template: model.template }, model).prompt({ text: question.text }, 'input');
      answers[at] = softmax((await service.submit({ tokens: Uint32Array.from(tokens), candidates })).logits);
    }
  };
  const [startMs, startCpu] = [performance.now(), process.cpuUsage()];
  await Promise.all(Array.from({ length: atOnce }, worker));
  const { user, system } = process.cpuUsage(startCpu);
  return { wallMs: performance.now() - startMs, cpuMs: (user + system) / 1e3, clientCpuMs: 0, answers };
}

/** One request for each question, `atOnce` connections. */
export async function overHttp(client: Child<Load, Loaded>, { url }: Listener, questions: readonly Question[], atOnce: number): Promise<Took> {
  const requests = questions.map(asRequest);
  const startCpu = process.cpuUsage();
  const { wallMs, cpuMs: clientCpuMs, bodies } = await client.ask({ url, connections: atOnce, requests });
  const { user, system } = process.cpuUsage(startCpu);
  return { wallMs, cpuMs: (user + system) / 1e3, clientCpuMs, answers: bodies.map(parseAnswer) };
}

/** The server as `asyncep serve` has it. */
export async function listen(service: Service, model: ServedModel): Promise<Listener> {
  const listener = await openListener({ host: '127.0.0.1', port: 0, requestTimeoutMs: 60_000, keepAliveMs: 600_000 });
  const app = await createApp({
    service, model, maxBodyBytes: 32 * 2 ** 20, metrics: createMetrics(service, true), timeoutMs: 600_000, extend: (to) => registerStatusPage(to, service, model),
  });
  listener.serve((request, response) => app.routing(request, response));
  return listener;
}
