import { describe, expect, it } from 'vitest';
import { InProcessWorld } from '../../src/collective/in-process-messenger.ts';
import { RankError } from '../../src/errors.ts';
import { failure, messengerContract, received, tag } from './messenger-contract.ts';
import { inProcess, sharedMemory } from './worlds.ts';

messengerContract('in one process', inProcess);
messengerContract('over shared memory', sharedMemory);

describe('a rank of one process', () => {
  const open = (deadlineMs: number) => {
    const hub = new InProcessWorld(3, { deadlineMs });
    return { hub, ranks: [0, 1, 2].map((rank) => hub.messenger(rank)) };
  };

  it('that is cut off is named to its peers, who go on without it', async () => {
    const { hub, ranks: [a, b] } = open(1000);
    const lost = failure(a!.receive(2, tag(0), new Uint8Array(1)));
    hub.cut(2);
    expect(await lost).toEqual(new RankError(2, 'its link was cut'));
    await expect(a!.send(2, tag(0), new Uint8Array(1))).rejects.toThrow(RankError);
    await b!.send(0, tag(0), Uint8Array.of(7));
    expect(await received(a!, 1, tag(0), 1)).toEqual(Uint8Array.of(7));
  });

  it('that falls silent is given up after the deadline', async () => {
    const { hub, ranks: [a, , c] } = open(50);
    const lost = failure(a!.receive(2, tag(0), new Uint8Array(1)));
    const silent = hub.silence(2);
    await c!.send(0, tag(0), Uint8Array.of(7));
    await silent;
    expect(await lost).toEqual(new RankError(2, 'its link has been silent for 0.1 s'));
  });
});
