/** A whole batch: lines in, answers out, in the order in which they come; bounded in memory whatever the input's length. */
import { setMaxListeners } from 'node:events';
import type { OperationContext, ServedModel } from '../operations/operation.ts';
import type { ServingAnswer, ServingRequest } from '../requests.ts';
import type { Service } from '../service.ts';
import type { AnswerSink } from './answer-file.ts';
import { answerLine, type FindOperation } from './answer-line.ts';
import type { BatchAnswer } from './format.ts';
import { createGate, type Gate } from './gate.ts';
import type { TextLine } from './text-lines.ts';

export interface BatchRun {
  /** Lines to answer, see `linesToAnswer`. */
  readonly lines: AsyncIterable<TextLine>;
  readonly sink: Pick<AnswerSink, 'write'>;
  readonly find: FindOperation;
  readonly service: Pick<Service, 'submit'>;
  readonly model: ServedModel;
  /** Requests that the service holds at a time, and lines under way: what its queue takes. */
  readonly room: number;
  /** Aborted: no more lines are read, what is under way is finished. */
  readonly stop: AbortSignal;
  /** Aborted: what is under way is given up. */
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

/** The service with its queue never above its limit: a request waits here, not there. */
function throttled(service: Pick<Service, 'submit'>, gate: Gate, observer: BatchObserver): Pick<Service, 'submit'> {
  return {
    async submit(request) {
      await gate.enter();
      try {
        const answer = await service.submit(request);
        observer.request?.(request, answer);
        return answer;
      } finally {
        gate.leave();
      }
    },
  };
}

/**
 * Runs until all lines are answered, or until `stop`.
 * @returns whether the input was read to its end
 * @throws what made an answer impossible that is not the fault of its line; the answers that there are besides are written before
 */
export async function runBatch(run: BatchRun): Promise<boolean> {
  const { sink, find, room, stop, abandon, observer = {} } = run;
  setMaxListeners(0, abandon); // every request under way listens
  const [lineGate, byteGate] = [createGate(room), createGate(ROOM_BYTES)];
  const context: OperationContext = { service: throttled(run.service, createGate(room), observer), model: run.model, signal: abandon };
  const underWay = new Set<Promise<void>>();
  let failed: { readonly error: unknown } | undefined;

  async function work(line: TextLine): Promise<void> {
    try {
      const answer = await answerLine(line, find, context);
      await sink.write(JSON.stringify(answer));
      observer.written?.(line, answer);
    } catch (error) {
      failed ??= { error };
    } finally {
      lineGate.leave();
      byteGate.leave(line.bytes);
    }
  }

  const isOver = (): boolean => failed !== undefined || stop.aborted;
  async function feed(): Promise<boolean> {
    for await (const line of run.lines) {
      await lineGate.enter();
      await byteGate.enter(line.bytes);
      if (isOver()) return false;
      const one = work(line).finally(() => underWay.delete(one));
      underWay.add(one);
    }
    return true;
  }

  const ended = await feed().catch((error: unknown) => {
    if (!stop.aborted) failed ??= { error }; // a source that is closed to stop the run may complain
    return false;
  });
  await Promise.all(underWay);
  if (failed !== undefined) throw failed.error;
  return ended;
}
