/** `asyncep serve` as a process of its own, and what the system says about it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { segmentFolder } from '../../src/collective/segment-files.ts';

export class ServedProcess {
  /** What it wrote. */
  said = '';
  readonly ended: Promise<number | null>;
  /** Of itself and of every rank that was ever seen. */
  readonly pidsSeen = new Set<number>();

  private constructor(private readonly process: ChildProcess) {
    this.ended = once(process, 'exit').then(([code]) => code as number | null);
    this.pidsSeen.add(this.pid);
    // Whatever ends the bench ends the server, and with it its ranks.
    globalThis.process.once('exit', () => void process.kill('SIGKILL'));
  }

  /** @returns when it listens */
  static async start(flags: readonly string[]): Promise<{ server: ServedProcess; url: string }> {
    const server = new ServedProcess(spawn(process.execPath, ['--import', 'tsx', 'src/cli/main.ts', 'serve', ...flags, '--port', '0'], { stdio: ['ignore', 'pipe', 'pipe'] }));
    const listening = new Promise<string>((resolve) => {
      const read = (chunk: Buffer): void => {
        server.said += String(chunk);
        const url = /listening on (\S+)\n/.exec(server.said)?.[1];
        if (url !== undefined) resolve(url);
      };
      server.process.stdout?.on('data', read);
      server.process.stderr?.on('data', read);
    });
    const ended = server.ended.then((code) => { throw new Error(`asyncep serve ended with ${code}: ${server.said}`); });
    ended.catch(() => undefined);
    return { server, url: await Promise.race([listening, ended]) };
  }

  get pid(): number {
    return this.process.pid as number;
  }

  /** Its processes with an engine. */
  ranks(): number[] {
    const children = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8').trim().split(' ').filter((pid) => pid !== '').map(Number);
    const ranks = children.filter((pid) => readOr(`/proc/${pid}/cmdline`).includes('rank-main'));
    for (const pid of ranks) this.pidsSeen.add(pid);
    return ranks;
  }

  /** MiB of memory that is resident, and open files. */
  usage(): { rssMib: number; files: number } {
    const kib = Number(/^VmRSS:\s+(\d+) kB/m.exec(readOr(`/proc/${this.pid}/status`))?.[1]);
    return { rssMib: kib / 1024, files: readdirSync(`/proc/${this.pid}/fd`).length };
  }

  /** What should not be there after its end: processes and segments. */
  leftovers(): string[] {
    const processes = [...this.pidsSeen].filter((pid) => existsSync(`/proc/${pid}`)).map((pid) => `process ${pid}`);
    const segments = readdirSync(segmentFolder()).filter((name) => name.startsWith('asyncep-') && [...this.pidsSeen].some((pid) => name.includes(`-${pid}-`)));
    return [...processes, ...segments];
  }

  terminate(): void {
    this.process.kill('SIGTERM');
  }
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
