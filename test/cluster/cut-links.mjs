/**
 * Loaded into a rank of a test (NODE_OPTIONS=--import): on SIGUSR2 every socket to a peer is destroyed, as if the links to this rank had been
 * cut. The line to the coordinator is no such socket and stays.
 */
import { subscribe } from 'node:diagnostics_channel';

const sockets = new Set();
for (const channel of ['net.client.socket', 'net.server.socket']) subscribe(channel, ({ socket }) => void sockets.add(socket));

process.on('SIGUSR2', () => {
  for (const socket of sockets) socket.destroy();
});
