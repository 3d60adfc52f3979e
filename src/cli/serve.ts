/** `asyncep serve`: the HTTP API on running engines, until a signal ends it. */
import type { Command } from 'commander';
import { AsyncepError } from '../errors.ts';
import { createApp } from '../serving/http/app.ts';
import { type Listener, openListener } from '../serving/http/listener.ts';
import { drainAndClose } from '../serving/http/shutdown.ts';
import { registerStatusPage } from '../serving/http/status-page.ts';
import { createMetrics } from '../serving/metrics.ts';
import type { ServedModel } from '../serving/operations/operation.ts';
import type { Service } from '../serving/service.ts';
import { type ChosenModel, chooseModel } from './model-source.ts';
import { createProgress } from './progress.ts';
import { openModel, openService } from './serve-open.ts';
import { isLoopback, type ServeFlags, servingFlags, withServeOptions } from './serve-options.ts';
import { exposureNote, startText } from './serve-text.ts';
import { recordTrace, tellChanges, watchForEnd } from './serve-watch.ts';
import { checkTraceFile } from './trace-file.ts';

const EXAMPLES = `
Serves /v1/completions (max_tokens 0 or 1), /v1/classify, /v1/rerank, /v1/score, /generative_scoring, /v1/decisions and /v1/models;
/docs describes them, / shows how the server does, /metrics is for Prometheus, /health and /ready for orchestrators.

Examples:
  $ asyncep serve --model models/spam-mail --labels spam,ham --template models/spam-mail/template.jinja
  $ curl localhost:8000/v1/classify -H 'content-type: application/json' -d '{"input": "Buy now!"}'
  $ ASYNCEP_API_KEY=secret asyncep serve --model DIR --ranks 2 --host 0.0.0.0 --port 9000
  $ asyncep serve --model DIR --ranks 4 --saturation measured --max-wait 200`;

/** Adds the command to the program. */
export function addServe(program: Command): void {
  withServeOptions(program.command('serve').description('serve the model over HTTP: completions, classification, scoring, reranking, decisions'))
    .addHelpText('after', EXAMPLES)
    .action((flags: ServeFlags, command: Command) => serve(servingFlags(flags, command)));
}

/** A request must have come in whole within this time. */
const RECEIVE_MS = 60_000;

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const warn = (text: string): void => void process.stderr.write(`${text}\n`);

/** Until the port is open nothing costs time, and everything that can be refused is. */
async function serve(flags: ServeFlags): Promise<void> {
  await checkTraceFile(flags.trace);
  const chosen = await chooseModel(flags);
  const served = await openModel(chosen, flags);
  const model: ServedModel = {
    ...served,
    // More would be told to come back for ever.
    maxPrompts: Math.min(flags.maxPrompts, flags.maxQueue),
    refuseTemplates: !isLoopback(flags.host) && flags.allowTemplates !== true,
  };
  const listener = await openListener({ host: flags.host, port: flags.port, requestTimeoutMs: RECEIVE_MS, keepAliveMs: flags.keepAlive * 1000 });
  const signals = watchSignals();
  try {
    await serveOn(listener, chosen, model, flags, signals);
  } finally {
    signals.unwatch();
    await listener.close();
  }
}

async function serveOn(listener: Listener, chosen: ChosenModel, model: ServedModel, flags: ServeFlags, signals: Signals): Promise<void> {
  const opened = await openService(chosen, flags, createProgress(), flags.timeline || flags.trace !== undefined);
  const { service } = opened;
  try {
    const recorded = recordTrace(opened, flags.trace);
    tellChanges(opened);
    const ended = watchForEnd(opened);
    const app = await openApp(service, model, flags);
    listener.serve((request, response) => app.routing(request, response));
    for (const line of startText(opened, model, flags)) say(line);
    const note = exposureNote(flags);
    if (note !== null) warn(note);
    say(`listening on ${listener.url}`);
    await Promise.race([signals.first, ended]);
    say(`shutting down: ${listener.underWay} requests under way have ${flags.drainSeconds} s (once more ends at once)`);
    const { unanswered } = await drainAndClose({ app, listener, service, deadlineMs: flags.drainSeconds * 1000 });
    await recorded.save();
    if (unanswered > 0) throw new AsyncepError(`${unanswered} requests had no answer after ${flags.drainSeconds} s (--drain-seconds)`);
    say('every accepted request was answered');
  } finally {
    await service.close();
  }
}

function openApp(service: Service, model: ServedModel, { maxBody: maxBodyBytes, requestTimeout, apiKey }: ServeFlags): ReturnType<typeof createApp> {
  return createApp({
    service, model, maxBodyBytes, metrics: createMetrics(service, true), timeoutMs: requestTimeout * 1000, ...(apiKey !== undefined && { apiKey }),
    extend: (app) => registerStatusPage(app, service, model),
    onError: (error) => warn(`asyncep: ${error instanceof AsyncepError ? error.message : error instanceof Error ? error.stack : String(error)}`),
  });
}

interface Signals {
  /** The first SIGTERM or SIGINT since the engines are there; before that, one ends the process. */
  readonly first: Promise<void>;
  unwatch(): void;
}

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/** The first signal lets the server drain, the second ends the process: ranks end with it, segments are unlinked on exit. */
function watchSignals(): Signals {
  let tell: (() => void) | undefined;
  const onSignal = (signal: 'SIGINT' | 'SIGTERM'): void => {
    if (tell === undefined) process.exit(EXIT_CODES[signal]);
    tell();
    tell = undefined;
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  return {
    get first() {
      return new Promise<void>((resolve) => { tell = resolve; });
    },
    unwatch: () => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
    },
  };
}
