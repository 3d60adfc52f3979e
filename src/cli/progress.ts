/** Progress bars on a terminal; nothing at all when stderr is piped. */
import { SingleBar } from 'cli-progress';

/** A stretch of work that a bar is drawn for. */
export interface Progress {
  /**
   * @param phase shown before the bar; a new name starts a new bar
   * @param total units of the phase
   */
  update(phase: string, done: number, total: number): void;
  stop(): void;
}

const SILENT: Progress = { update: () => {}, stop: () => {} };

const newBar = (): SingleBar => new SingleBar({
  format: '{phase} [{bar}] {value}/{total}',
  stream: process.stderr,
  barsize: 40,
  barCompleteChar: '=',
  barIncompleteChar: ' ',
  hideCursor: true,
  clearOnComplete: true,
  gracefulExit: false, // a signal is handled by whoever owns the ranks
});

/** Bars on stderr when it is a terminal. */
export function createProgress(): Progress {
  if (!process.stderr.isTTY) return SILENT;
  let bar: SingleBar | undefined;
  let current = '';
  const stop = (): void => {
    bar?.stop();
    bar = undefined;
  };
  return {
    update(phase, done, total) {
      if (phase !== current) stop();
      if (bar === undefined) {
        bar = newBar();
        bar.start(total, done, { phase: phase.padEnd(10) });
      }
      current = phase;
      bar.setTotal(total);
      bar.update(done);
    },
    stop,
  };
}
