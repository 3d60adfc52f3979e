/**
 * Hosts of their own on one machine: network namespaces joined by a bridge, each behind a link of limited rate. Linux, as root.
 * Names carry this process's pid, and everything is removed however the process ends (SIGKILL excepted).
 */
import { execFileSync, spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';

export interface NetworkHost {
  /** What the others reach it by. */
  readonly address: string;
  /** What to put before a command line so that it runs there. */
  readonly command: readonly string[];
  /** From now on nothing gets out of it or into it, and nobody is told. */
  disconnect(): void;
  /** Runs Node there, with a channel for messages as `fork` makes one. */
  fork(args: readonly string[], options?: SpawnOptions): ChildProcess;
}

export interface Network {
  readonly hosts: readonly NetworkHost[];
  /** Removes the namespaces; processes in them keep running until they are ended. */
  close(): void;
}

export interface NetworkShape {
  readonly hosts: number;
  /** Of each host's link, in each direction; headers count. */
  readonly bytesPerSecond: number;
  /** What may go at once, at line rate. */
  readonly burstBytes: number;
}

const run = (command: string, ...args: string[]): string => execFileSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
let networks = 0;

/**
 * @throws Error when namespaces, bridges or rates are not to be had here; what was made so far is removed
 */
export function createNetwork(shape: NetworkShape): Network {
  const id = `aep${process.pid}${String.fromCharCode(97 + (networks++ % 26))}`;
  const made: string[] = [];
  const addNamespace = (name: string): void => {
    run('ip', 'netns', 'add', name);
    made.push(name);
  };
  const close = (): void => {
    process.off('exit', close);
    for (const signal of SIGNALS) process.off(signal, onSignal);
    // Their ends of the links go with them.
    for (const name of made.splice(0)) ignoring(() => run('ip', 'netns', 'del', name));
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    close();
    process.kill(process.pid, signal);
  };
  process.on('exit', close);
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    const hub = `${id}h`;
    addNamespace(hub);
    run('ip', '-n', hub, 'link', 'add', 'br0', 'type', 'bridge');
    run('ip', '-n', hub, 'link', 'set', 'br0', 'up');
    return { hosts: Array.from({ length: shape.hosts }, (_, n) => addHost(`${id}${n}`, hub, n, shape, addNamespace)), close };
  } catch (error) {
    close();
    throw error;
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function ignoring(action: () => void): void {
  try {
    action();
  } catch {
    // Gone already.
  }
}

function addHost(name: string, hub: string, n: number, { bytesPerSecond, burstBytes }: NetworkShape, addNamespace: (name: string) => void): NetworkHost {
  const address = `10.97.0.${n + 1}`;
  addNamespace(name);
  run('ip', 'link', 'add', 'eth0', 'netns', name, 'type', 'veth', 'peer', 'name', `port${n}`, 'netns', hub);
  run('ip', '-n', hub, 'link', 'set', `port${n}`, 'master', 'br0', 'up');
  run('ip', '-n', name, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
  run('ip', '-n', name, 'link', 'set', 'lo', 'up');
  run('ip', '-n', name, 'link', 'set', 'eth0', 'up');
  // Out of the host at its own end, into it at the bridge's.
  for (const [namespace, device] of [[name, 'eth0'], [hub, `port${n}`]] as const) {
    run('tc', '-n', namespace, 'qdisc', 'add', 'dev', device, 'root', 'tbf', 'rate', `${bytesPerSecond}bps`, 'burst', `${burstBytes}`, 'latency', '50ms');
  }
  const command = ['ip', 'netns', 'exec', name];
  return {
    address,
    command,
    disconnect: () => void run('ip', '-n', hub, 'link', 'set', `port${n}`, 'down'),
    fork: (args, options = {}) => spawn('ip', [...command.slice(1), process.execPath, ...args], { ...options, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }),
  };
}

/** Half a sentence that says why there are no networks here; null where there are. */
export function networkProblem(): string | null {
  try {
    createNetwork({ hosts: 1, bytesPerSecond: 1e6, burstBytes: 1e5 }).close();
    return null;
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    return (stderr ?? message).trim();
  }
}
