/** The bar of a batch run on stderr: how far in the input, how fast, how long still. */
import { SingleBar } from 'cli-progress';
import type { BatchTally } from './batch-tally.ts';
import { formatCount } from './format.ts';

export interface BatchProgress {
  /** An answer is written whose line ends at this byte of the input. */
  reached(endByte: number): void;
  /** A message beside the bar, on a line of its own. */
  say(text: string): void;
  stop(): void;
}

const say = (text: string): void => void process.stderr.write(`${text}\n`);

const NUMBERS = '{lines} lines, {failed} failed | {rate} tokens/s';

/**
 * Nothing is drawn when stderr is no terminal. Lines are answered in nearly their order, so the furthest one tells how much is done.
 * @param totalBytes of the input; null where its end is unknown: then there is no bar and no estimate
 */
export function createBatchProgress(totalBytes: number | null, tally: BatchTally): BatchProgress {
  if (!process.stderr.isTTY) return { reached: () => {}, say, stop: () => {} };
  const bar = new SingleBar({
    format: totalBytes === null ? `answering ${NUMBERS}` : `answering [{bar}] {percentage} % | ${NUMBERS} | ETA {eta_formatted}`,
    stream: process.stderr, barsize: 30, barCompleteChar: '=', barIncompleteChar: ' ', hideCursor: true, clearOnComplete: true,
    etaBuffer: 200, gracefulExit: false, // signals are the command's
  });
  const numbers = (): object => ({ lines: formatCount(tally.lines), failed: formatCount(tally.failed), rate: formatCount(tally.tokensPerSecond) });
  let furthest = 0;
  let started = false;
  return {
    reached(endByte) {
      furthest = Math.max(furthest, endByte);
      // Begun with the first answer, so that a resumed run's estimate does not count what was skipped.
      if (!started) bar.start(totalBytes ?? 0, furthest, numbers());
      started = true;
      bar.update(furthest, numbers());
    },
    say(text) {
      bar.stop();
      say(text);
      if (started) bar.start(totalBytes ?? 0, furthest, numbers());
    },
    stop: () => bar.stop(),
  };
}
