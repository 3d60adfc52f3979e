// A thread that copies its share of one array to another whenever the count of rounds goes up, and says when it is done.
import { workerData } from 'node:worker_threads';

const { source, target, state } = workerData;
const [from, to] = [new Uint8Array(source), new Uint8Array(target)];
const counts = new Int32Array(state);
const CHUNK = 1 << 20;
Atomics.add(counts, 2, 1);
Atomics.notify(counts, 2);
for (let round = 0; ; round++) {
  Atomics.wait(counts, 0, round);
  // Chunks are taken as they come, so that no thread waits for a slower one.
  for (;;) {
    const start = Atomics.add(counts, 1, 1) * CHUNK;
    const end = Math.min(start + CHUNK, counts[3]);
    if (start >= end) break;
    to.set(from.subarray(start, end), start);
  }
  Atomics.add(counts, 2, 1);
  Atomics.notify(counts, 2);
}
