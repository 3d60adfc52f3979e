/** A rank in a process of its own, for tests that stop or kill it: connects, sends one message, waits. Run by `messenger-process.test.ts`. */
import { SharedMemoryHost } from '../../src/collective/shared-memory-messenger.ts';

const [rank = '', folder = '', deadlineMs = ''] = process.argv.slice(2);
const host = new SharedMemoryHost({ runId: 'processes', rank: Number(rank), world: 2, token: 'secret' }, { deadlineMs: Number(deadlineMs) }, folder);
const address = await host.listen();
process.once('message', (addresses: string[]) => {
  void (async () => {
    const messenger = await host.connect(addresses);
    await messenger.send(1 - messenger.rank, { pass: 0, step: 0 }, new Uint8Array(100_000).fill(7));
    await messenger.receive(1 - messenger.rank, { pass: 0, step: 1 }, new Uint8Array(1)).catch((error: Error) => process.send?.(error.message));
  })();
});
process.send?.(address);
