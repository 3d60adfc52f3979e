/** The transports that are measured, by name. */
import type { Membership, MessengerHost, MessengerOptions } from '../../src/collective/messenger.ts';
import { SharedMemoryHost } from '../../src/collective/shared-memory-messenger.ts';
import { SharedMemoryTransport } from '../../src/collective/shared-memory.ts';
import type { Transport } from '../../src/collective/transport.ts';

/** Room for a machine that is busy with something else. */
const OPTIONS: MessengerOptions = { deadlineMs: 60_000 };

export const hosts: Readonly<Record<string, (membership: Membership) => MessengerHost>> = {
  'shared memory': (membership) => new SharedMemoryHost(membership, OPTIONS),
};

/** For weights. */
export const transports: Readonly<Record<string, (membership: Membership) => Transport>> = {
  'shared memory': ({ rank, runId }) => new SharedMemoryTransport(rank, runId),
};
