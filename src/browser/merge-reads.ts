/** Reads of neighbouring byte ranges as one request each: a request costs a round trip, and an expert is three tensors side by side. */

/** `length` bytes of `path` from `offset` on, in memory of their own. */
export type ReadRange = (path: string, offset: number, length: number) => Promise<Uint8Array>;

interface Asked {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  readonly resolve: (bytes: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
}

/** Ranges of one file that follow each other without a gap. */
type Run = [Asked, ...Asked[]];

/** An answer is held whole until its parts are cut out: a merged one grows no larger than this. */
const MAX_MERGED_BYTES = 16 << 20;

const bytesOf = (run: Run): number => run.reduce((sum, { length }) => sum + length, 0);

function continues(run: Run | undefined, { path, offset, length }: Asked): run is Run {
  const before = run?.at(-1);
  return run !== undefined && before?.path === path && before.offset + before.length === offset && bytesOf(run) + length <= MAX_MERGED_BYTES;
}

function runsOf(asked: readonly Asked[]): Run[] {
  const runs: Run[] = [];
  for (const one of asked.toSorted((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : a.offset - b.offset))) {
    const run = runs.at(-1);
    if (continues(run, one)) run.push(one);
    else runs.push([one]);
  }
  return runs;
}

async function answer(run: Run, read: ReadRange): Promise<void> {
  const [{ path, offset: start }] = run;
  try {
    const bytes = await read(path, start, bytesOf(run));
    for (const { offset, length, resolve } of run) resolve(run.length === 1 ? bytes : bytes.slice(offset - start, offset - start + length));
  } catch (error) {
    for (const { reject } of run) reject(error);
  }
}

/** `read` with what is asked for before the thread comes to rest (one tick) put together. */
export function mergeReads(read: ReadRange): ReadRange {
  let waiting: Asked[] = [];
  const flush = (): void => {
    const asked = waiting;
    waiting = [];
    for (const run of runsOf(asked)) void answer(run, read);
  };
  return (path, offset, length) => new Promise((resolve, reject) => {
    if (waiting.length === 0) queueMicrotask(flush);
    waiting.push({ path, offset, length, resolve, reject });
  });
}
