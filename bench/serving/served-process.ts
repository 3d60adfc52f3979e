/** `asyncep serve` as a process of its own, and what the system says about it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { WebSocket } from 'ws';
import { segmentFolder } from '../../src/collective/segment-files.ts';

export class ServedProcess {
  /** What it wrote. */
  said = '';
  readonly ended: Promise<number | null>;
  /** Of itself and of every rank that was ever seen. */
  readonly pidsSeen = new Set<number>();

  #debugger: WebSocket | null = null;
  #asked = 0;

  private constructor(private readonly process: ChildProcess) {
    this.ended = once(process, 'exit').then(([code]) => code as number | null);
    this.pidsSeen.add(this.pid);
    // Whatever ends the bench ends the server, and with it its ranks.
    globalThis.process.once('exit', () => void process.kill('SIGKILL'));
  }

  /** @returns when it listens */
  static async start(flags: readonly string[]): Promise<{ server: ServedProcess; url: string }> {
    const server = new ServedProcess(spawn(process.execPath, ['--inspect=127.0.0.1:0', '--import', 'tsx', 'src/cli/main.ts', 'serve', ...flags, '--port', '0'], { stdio: ['ignore', 'pipe', 'pipe'] }));
    const listening = new Promise<string>((resolve) => {
      const read = (chunk: Buffer): void => {
        server.said += String(chunk);
        const url = /^listening on (http\S+)\n/m.exec(server.said)?.[1];
        if (url !== undefined) resolve(url);
      };
      server.process.stdout?.on('data', read);
      server.process.stderr?.on('data', read);
    });
    const ended = server.ended.then((code) => { throw new Error(`asyncep serve ended with ${code}: ${server.said}`); });
    ended.catch(() => undefined);
    const url = await Promise.race([listening, ended]);
    server.#debugger = new WebSocket(/Debugger listening on (\S+)/.exec(server.said)![1]!);
    await once(server.#debugger, 'open');
    server.said = server.said.replaceAll(/^(Debugger listening|For help, see|Debugger attached).*\n/gm, '');
    return { server, url };
  }

  /** MiB of the heap that are in use after a collection of everything that is not. */
  async liveHeapMib(): Promise<number> {
    await this.#command('HeapProfiler.collectGarbage');
    return ((await this.#command('Runtime.getHeapUsage')) as { usedSize: number }).usedSize / 2 ** 20;
  }

  /** Of the debugger's protocol. */
  #command(method: string): Promise<unknown> {
    const id = ++this.#asked;
    const socket = this.#debugger!;
    return new Promise((resolve, reject) => {
      const read = (data: Buffer): void => {
        const answer = JSON.parse(String(data)) as { id?: number; result?: unknown; error?: unknown };
        if (answer.id !== id) return;
        socket.off('message', read);
        if (answer.error === undefined) resolve(answer.result);
        else reject(new Error(`${method}: ${JSON.stringify(answer.error)}`));
      };
      socket.on('message', read);
      socket.send(JSON.stringify({ id, method }));
    });
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

  /** Closes the debugger, too: a process waits for it at its end. */
  terminate(): void {
    this.#debugger?.terminate();
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
