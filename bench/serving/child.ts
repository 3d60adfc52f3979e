/** A process of a bench that answers questions one after the other. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

type Reply<Answer> = { readonly answer: Answer } | { readonly problem: string };

/** The side that asks. */
export class Child<Question extends object | string, Answer> {
  readonly #process: ChildProcess;

  /** @param script path of a file that calls {@link answerParent} */
  constructor(script: URL) {
    const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
    this.#process = fork(fileURLToPath(script), { execArgv: ['--import', loader] });
  }

  /** @throws when the process fails, or ends without an answer */
  async ask(question: Question): Promise<Answer> {
    const over = new AbortController();
    const ended = once(this.#process, 'exit', over).then(([code, signal]) => ({ problem: `the client process ended (${code ?? signal})` }));
    const replied = once(this.#process, 'message', over).then(([reply]) => reply as Reply<Answer>);
    for (const promise of [ended, replied]) promise.catch(() => undefined);
    this.#process.send(question);
    const reply = await Promise.race([replied, ended]).finally(() => over.abort());
    if ('problem' in reply) throw new Error(reply.problem);
    return reply.answer;
  }

  close(): void {
    if (this.#process.connected) this.#process.disconnect();
  }
}

/** The side that answers; the process ends when the other side closes. */
export function answerParent<Question, Answer>(answer: (question: Question) => Promise<Answer>): void {
  process.on('message', async (question: Question) => {
    const reply: Reply<Answer> = await answer(question).then((value) => ({ answer: value }), (error: Error) => ({ problem: error.stack ?? String(error) }));
    process.send?.(reply);
  });
  process.on('disconnect', () => process.exit());
}
