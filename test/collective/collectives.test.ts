import { describe, expect, it } from 'vitest';
import { Collectives } from '../../src/collective/collectives.ts';
import { InProcessWorld } from '../../src/collective/in-process-messenger.ts';
import { RankError } from '../../src/errors.ts';
import { collectiveProperties } from './collective-properties.ts';
import { failure, tag } from './messenger-contract.ts';
import { inProcess, sharedMemory } from './worlds.ts';

collectiveProperties('in one process', inProcess);
collectiveProperties('over shared memory', sharedMemory, { runs: 8 });

describe('a collective that fails', () => {
  const open = () => {
    const hub = new InProcessWorld(3);
    const messengers = [0, 1, 2].map((rank) => hub.messenger(rank));
    return { hub, ranks: messengers.map((messenger) => new Collectives(messenger)) };
  };
  const gather = (rank: Collectives) => rank.allGather(tag(0), new Uint8Array(4), new Uint8Array(12), [4, 4, 4]);

  it('names the rank at fault on every rank, at once', async () => {
    const { hub, ranks } = open();
    const [first, second] = [failure(gather(ranks[0]!)), failure(gather(ranks[1]!))];
    hub.cut(2);
    expect(await first).toEqual(new RankError(2, 'its link was cut'));
    expect(await second).toEqual(new RankError(2, 'its link was cut'));
  });

  it('tells the others why when only one rank saw it', async () => {
    const { ranks } = open();
    const wrong = failure(ranks[0]!.allGather(tag(0), new Uint8Array(4), new Uint8Array(11), [4, 4, 3]));
    const others = [ranks[1]!, ranks[2]!].map((rank) => failure(gather(rank)));
    expect(await wrong).toEqual(new RankError(2, 'its message of pass 0, step 0 has 4 bytes; expected at most 3'));
    for (const other of await Promise.all(others)) expect(String(other)).toMatch(/it gave up: rank 2: its message of pass 0, step 0 has 4 bytes|no failure/);
  });

  it('refuses parts that are not the whole', async () => {
    const { ranks } = open();
    expect(await failure(ranks[0]!.allGather(tag(0), new Uint8Array(4), new Uint8Array(12), [4, 4]))).toEqual(new RangeError('parts of [4, 4] for 3 ranks and 12 in all'));
  });
});
