/** The transports that are measured, by name. */
import type { Membership, MessengerHost, MessengerOptions } from '../../src/collective/messenger.ts';
import { SharedMemoryHost } from '../../src/collective/shared-memory-messenger.ts';
import { SharedMemoryTransport } from '../../src/collective/shared-memory.ts';
import type { Transport } from '../../src/collective/transport.ts';
import { WebSocketHost } from '../../src/collective/websocket/host.ts';

export const TRANSPORTS = ['shared memory', 'WebSocket'] as const;
export type TransportName = (typeof TRANSPORTS)[number];

/** Room for a machine that is busy with something else. */
const OPTIONS: MessengerOptions = { deadlineMs: 60_000 };

interface Carrier {
  readonly host: MessengerHost;
  /** For weights. */
  readonly transport: Transport;
}

/** What one rank needs of each. */
export function carriers(membership: Membership): Record<TransportName, Carrier> {
  const webSocket = new WebSocketHost({ ...membership, runId: `${membership.runId}ws` }, OPTIONS);
  return {
    'shared memory': { host: new SharedMemoryHost(membership, OPTIONS), transport: new SharedMemoryTransport(membership.rank, membership.runId) },
    WebSocket: { host: webSocket, transport: webSocket.transport },
  };
}
