/** The parent's side: starts the rank processes and asks all of them the same at the same time. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Answer, Job, ShardShape, Timed, Took } from './jobs.ts';

const JOB_MS = 120_000;

export class BenchWorld {
  private constructor(readonly world: number, private readonly processes: readonly ChildProcess[]) {}

  static async start(world: number): Promise<BenchWorld> {
    const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
    const processes = Array.from({ length: world }, () =>
      fork(fileURLToPath(new URL('./rank.ts', import.meta.url)), { execArgv: ['--import', loader], serialization: 'advanced' }));
    const all = new BenchWorld(world, processes);
    const runId = `bench${process.pid}`;
    const addresses = await Promise.all(processes.map((_, rank) => all.#ask(rank, { kind: 'open', runId, rank, world })));
    await all.#everyone({ kind: 'connect', addresses: addresses.map((answer) => answer.addresses ?? {}) });
    return all;
  }

  async openShards(shard: ShardShape, adapter: string): Promise<void> {
    const addresses = (await this.#everyone({ kind: 'publish', shard, adapter })).map((answer) => answer.addresses ?? {});
    await this.#everyone({ kind: 'openShards', shard, addresses });
  }

  /** @returns time of one iteration on the slowest rank, CPU time on a rank in the mean */
  async time(timed: Timed, iterations: number): Promise<Took> {
    const took = (await this.#everyone({ kind: 'time', timed, iterations })).map((answer) => answer.took ?? { ms: NaN, cpuMs: NaN });
    return { ms: Math.max(...took.map(({ ms }) => ms)), cpuMs: took.reduce((sum, { cpuMs }) => sum + cpuMs, 0) / this.world };
  }

  #everyone(job: Job): Promise<Answer[]> {
    return Promise.all(this.processes.map((_, rank) => this.#ask(rank, job)));
  }

  async #ask(rank: number, job: Job): Promise<Answer> {
    const child = this.processes[rank] as ChildProcess;
    child.send(job);
    const over = new AbortController();
    const ended = once(child, 'exit', over).then(() => { throw new Error(`rank ${rank} ended`); });
    const late = sleep(JOB_MS, undefined, over).then(() => { throw new Error(`rank ${rank} did not answer within ${JOB_MS / 1e3} s`); });
    const answered = once(child, 'message', over) as Promise<[Answer]>;
    for (const promise of [ended, late, answered]) promise.catch(() => undefined);
    const [answer] = (await Promise.race([answered, ended, late]).finally(() => over.abort())) as [Answer];
    if (answer.error !== undefined) throw new Error(`rank ${rank}, ${JSON.stringify(job)}: ${answer.error}`);
    return answer;
  }

  close(): void {
    for (const child of this.processes) child.disconnect();
  }
}
