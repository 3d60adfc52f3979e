/** A whole batch: lines in, answers out, in the order in which they come; bounded in memory whatever the input's length. */
import type { ServedModel } from '../operations/operation.ts';
import { CancelledError, type ServingAnswer, type ServingRequest } from '../requests.ts';
import type { Service } from '../service.ts';
import type { AnswerSink } from './answer-file.ts';
import { answerLine, type FindOperation } from './answer-line.ts';
import type { BatchAnswer } from './format.ts';
import { createGate, type Gate } from './gate.ts';
import type { TextLine } from './text-lines.ts';

export type BatchService = Pick<Service, 'submit'> & { snapshot(): Pick<ReturnType<Service['snapshot']>, 'waiting'> };

export interface BatchRun {
  /** Lines to answer, see `linesToAnswer`. */
  readonly lines: AsyncIterable<TextLine>;
  readonly sink: Pick<AnswerSink, 'write'>;
  readonly find: FindOperation;
  readonly service: BatchService;
  readonly model: ServedModel;
  /** Requests that the service holds at a time, and lines under way: what its queue takes. */
  readonly room: number;
  /** Aborted: no more lines are read, what is in passes is finished, what waits is withdrawn. */
  readonly stop: AbortSignal;
  /** Aborted: everything is withdrawn. */
  readonly abandon: AbortSignal;
  readonly observer?: BatchObserver;
}

export interface BatchObserver {
  /** A request of a line was answered; a line may have several. */
  request?(request: ServingRequest, answer: ServingAnswer): void;
  /** The line's answer is written. */
  written?(line: TextLine, answer: BatchAnswer): void;
}

/** Lines under way hold at most so many bytes of input, unless one alone has more. */
const ROOM_BYTES = 64 * 2 ** 20;

/** A line that is being answered. */
interface Work {
  readonly withdrawal: AbortController;
  /** Its requests that the service has. */
  asked: number;
}

/** The service for one line, with its queue never above its limit: a request waits here, not there. */
function throttled(service: BatchService, gate: Gate, work: Work, observer: BatchObserver): Pick<Service, 'submit'> {
  return {
    async submit(request) {
      await gate.enter();
      work.asked++;
      try {
        if (work.withdrawal.signal.aborted) throw new CancelledError();
        const answer = await service.submit(request);
        observer.request?.(request, answer);
        return answer;
      } finally {
        work.asked--;
        gate.leave();
      }
    },
  };
}

/** Withdraws the newest lines until nothing waits: the service takes requests in their order, so these are what no pass has. */
function withdrawWaiting(works: Iterable<Work>, service: BatchService): void {
  let { waiting } = service.snapshot();
  for (const { asked, withdrawal } of [...works].toReversed()) {
    if (asked > 0 && waiting <= 0) continue;
    waiting -= asked;
    withdrawal.abort();
  }
}

/**
 * Runs until all lines are answered, or until `stop`.
 * @returns whether all lines are answered
 * @throws what made an answer impossible that is not the fault of its line; the answers that there are besides are written before
 */
export async function runBatch(run: BatchRun): Promise<boolean> {
  const { sink, find, service, model, room, stop, abandon, observer = {} } = run;
  const [lineGate, byteGate, requestGate] = [createGate(room), createGate(ROOM_BYTES), createGate(room)];
  const works = new Map<Work, Promise<void>>();
  let complete = true;
  let failed: { readonly error: unknown } | undefined;

  async function answer(line: TextLine, work: Work): Promise<void> {
    try {
      const answer = await answerLine(line, find, { service: throttled(service, requestGate, work, observer), model, signal: work.withdrawal.signal });
      await sink.write(JSON.stringify(answer));
      observer.written?.(line, answer);
    } catch (error) {
      complete = false;
      if (!work.withdrawal.signal.aborted) failed ??= { error };
    } finally {
      works.delete(work);
      lineGate.leave();
      byteGate.leave(line.bytes);
    }
  }

  async function feed(): Promise<void> {
    for await (const line of run.lines) {
      await lineGate.enter();
      await byteGate.enter(line.bytes);
      if (failed !== undefined || stop.aborted) {
        complete = false;
        return;
      }
      const work: Work = { withdrawal: new AbortController(), asked: 0 };
      works.set(work, answer(line, work));
    }
  }

  stop.addEventListener('abort', () => withdrawWaiting(works.keys(), service), { once: true });
  abandon.addEventListener('abort', () => {
    for (const { withdrawal } of works.keys()) withdrawal.abort();
  }, { once: true });
  await feed().catch((error: unknown) => {
    complete = false;
    if (!stop.aborted) failed ??= { error }; // a source that is closed to stop the run may complain
  });
  await Promise.all(works.values());
  if (failed !== undefined) throw failed.error;
  return complete;
}
