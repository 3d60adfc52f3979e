/** The limit of everything that moves bytes through memory: plain copies on some threads. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

/** Rounds begun, chunks given out, threads that are done, bytes of the round. */
const [ROUND, CHUNK, DONE, BYTES] = [0, 1, 2, 3];

export class Copier {
  private constructor(private readonly workers: readonly Worker[], private readonly counts: Int32Array) {}

  static async start(threads: number, maxBytes: number): Promise<Copier> {
    const [source, target, state] = [new SharedArrayBuffer(maxBytes), new SharedArrayBuffer(maxBytes), new SharedArrayBuffer(16)];
    new Uint8Array(source).fill(1);
    new Uint8Array(target).fill(2);
    const workers = Array.from({ length: threads }, () => new Worker(new URL('./copier.mjs', import.meta.url), { workerData: { source, target, state }, execArgv: [] }));
    for (const worker of workers) worker.unref();
    const copier = new Copier(workers, new Int32Array(state));
    // Workers start by this thread's event loop, so it must not sleep yet.
    while (Atomics.load(copier.counts, DONE) < threads) await sleep(1);
    return copier;
  }

  /** Copies the first `bytes`; this thread waits. */
  copy(bytes: number): void {
    const { counts } = this;
    counts[CHUNK] = counts[DONE] = 0;
    counts[BYTES] = bytes;
    Atomics.add(counts, ROUND, 1);
    Atomics.notify(counts, ROUND);
    for (;;) {
      const done = Atomics.load(counts, DONE);
      if (done === this.workers.length) return;
      Atomics.wait(counts, DONE, done);
    }
  }
}
