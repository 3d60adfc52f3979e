/** Entry of a rank process; started by fork, spoken to over its IPC channel. The first argument may name another backend. */
import type { OpenBackend } from './backend.ts';
import { runRank } from './rank-body.ts';
import { toRankSchema } from './messages.ts';

// A terminal's Ctrl-C reaches the whole group; the coordinator decides, and the line's end tells us.
process.on('SIGINT', () => undefined);
// Whoever started us is gone: leave at once. The exit handler unlinks the segment.
process.on('disconnect', () => process.exit(1));

const backend = process.argv[2];
const { openBackend } = (backend === undefined ? await import('./engine-backend.ts') : await import(backend)) as { openBackend: OpenBackend };

const outcome = await runRank(
  {
    send: (message) => {
      if (process.connected) process.send?.(message, undefined, {}, () => undefined);
    },
    onMessage: (handler) => void process.on('message', (message) => handler(toRankSchema.parse(message))),
  },
  openBackend,
);
// Let the last message out before the channel closes.
process.send?.({ type: 'heartbeat' }, undefined, {}, () => process.exit(outcome === 'closed' ? 0 : 1));
