/** Worlds of messengers in one process, by transport: what the suites of every transport are run over. */
import { tmpdir } from 'node:os';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { InProcessWorld } from '../../src/collective/in-process-messenger.ts';
import type { Messenger, MessengerHost, MessengerOptions } from '../../src/collective/messenger.ts';
import { SharedMemoryHost } from '../../src/collective/shared-memory-messenger.ts';

export interface World {
  readonly messengers: readonly Messenger[];
  close(): Promise<void>;
}

/** Opens a world of `world` ranks, each with its own messenger. */
export type OpenWorld = (world: number, options?: MessengerOptions) => Promise<World>;

export const PATIENT: MessengerOptions = { deadlineMs: 10_000 };

export async function connectAll(hosts: readonly MessengerHost[]): Promise<World> {
  const addresses = await Promise.all(hosts.map((host) => host.listen()));
  const messengers = await Promise.all(hosts.map((host) => host.connect(addresses)));
  return { messengers, close: async () => void await Promise.all(hosts.map((host) => host.close())) };
}

export const inProcess: OpenWorld = (world, options = PATIENT) => {
  const hub = new InProcessWorld(world, options);
  return connectAll(Array.from({ length: world }, (_, rank) => hub.host(rank)));
};

let runs = 0;

export const sharedMemory: OpenWorld = async (world, options = PATIENT) => {
  const folder = await mkdtemp(join(tmpdir(), 'asyncep-test-'));
  const runId = `messages${runs++}`;
  const opened = await connectAll(Array.from({ length: world }, (_, rank) => new SharedMemoryHost({ runId, rank, world, token: 'secret' }, options, folder)));
  return { messengers: opened.messengers, close: async () => { await opened.close(); await rm(folder, { recursive: true }); } };
};
