import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Membership, Messenger } from '../../src/collective/messenger.ts';
import { processStartTime, sweepStaleSegments } from '../../src/collective/segment-files.ts';
import { SharedMemoryHost } from '../../src/collective/shared-memory-messenger.ts';
import { RankError } from '../../src/errors.ts';
import { programArguments } from '../../src/node/program-arguments.ts';
import { failure, received, tag } from './messenger-contract.ts';

const DEADLINE_MS = 1_000;
const asMember = (rank: number, change: Partial<Membership> = {}): Membership => ({ runId: 'processes', rank, world: 2, token: 'secret', ...change });

let folder: string;
const hosts: SharedMemoryHost[] = [];
const host = (membership: Membership, deadlineMs = DEADLINE_MS): SharedMemoryHost => {
  const made = new SharedMemoryHost(membership, { deadlineMs }, folder);
  hosts.push(made);
  return made;
};
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'asyncep-test-'));
});
afterEach(async () => {
  await Promise.all(hosts.splice(0).map((each) => each.close()));
  await rm(folder, { recursive: true });
});

const PEER = programArguments(new URL('./messenger-peer.ts', import.meta.url).href);

/** Rank 1 in another process, connected and heard of once. */
async function withPeer(body: (messenger: Messenger, peer: ChildProcess) => Promise<void>): Promise<void> {
  const own = host(asMember(0));
  const peer = fork(PEER.at(-1) as string, ['1', folder, String(DEADLINE_MS)], { execArgv: PEER.slice(0, -1) });
  try {
    const [address] = (await once(peer, 'message')) as [string];
    const addresses = [await own.listen(), address];
    peer.send(addresses);
    const messenger = await own.connect(addresses);
    expect((await received(messenger, 1, tag(0), 100_000)).every((byte) => byte === 7)).toBe(true);
    await body(messenger, peer);
  } finally {
    peer.kill('SIGKILL');
  }
}

describe('a rank of another process', () => {
  it('that is killed is named at once, to what waits and to what comes later', () => withPeer(async (messenger, peer) => {
    const waiting = failure(messenger.receive(1, tag(1), new Uint8Array(1)));
    peer.kill('SIGKILL');
    const cut = new RankError(1, 'its link was cut');
    expect(await waiting).toEqual(cut);
    expect(await failure(messenger.receive(1, tag(2), new Uint8Array(1)))).toEqual(cut);
    expect(await failure(messenger.send(1, tag(0), new Uint8Array(100_000)))).toEqual(cut);
  }));

  it('that hangs is named after the deadline, and has nothing left to say when it wakes', () => withPeer(async (messenger, peer) => {
    const start = performance.now();
    peer.kill('SIGSTOP');
    expect(String(await failure(messenger.receive(1, tag(1), new Uint8Array(1))))).toMatch(/^RankError: rank 1: its link has been silent for 1\.\d s$/);
    expect(performance.now() - start).toBeGreaterThan(0.7 * DEADLINE_MS);
    expect(performance.now() - start).toBeLessThan(4 * DEADLINE_MS);
    const told = once(peer, 'message');
    peer.kill('SIGCONT');
    expect(await told).toEqual(['rank 0: its link was cut', undefined]);
  }));

  it('leaves no file behind, however it ended', () => withPeer(async (_messenger, peer) => {
    const gone = once(peer, 'exit');
    peer.kill('SIGKILL');
    await gone;
    await Promise.all(hosts.splice(0).map((each) => each.close()));
    sweepStaleSegments(folder);
    expect(await readdir(folder)).toEqual([]);
  }));
});

describe('files of messengers whose process was killed', () => {
  it('are swept at the next start, those of living processes are not', async () => {
    const alive = `${process.pid}-${processStartTime(process.pid)}`;
    const names = ['r0-to1.box', 'r0.sock', 'r0.seg'].flatMap((end) => [`asyncep-run1-999999999-5-${end}`, `asyncep-run1-${alive}-${end}`]);
    await Promise.all(names.map((name) => writeFile(join(folder, name), '')));
    sweepStaleSegments(folder);
    expect((await readdir(folder)).toSorted()).toEqual(names.filter((name) => name.includes(alive)).toSorted());
  });
});

describe('a connection', () => {
  const refusals: [string, Membership, string][] = [
    ['of another run', asMember(1, { runId: 'other' }), 'belongs to run other; expected processes'],
    ['with a wrong token', asMember(1, { token: 'guess' }), 'the token is wrong'],
    ['of a world of another size', asMember(1, { world: 3 }), 'belongs to a world of 3 ranks; expected 2'],
  ];
  it.each(refusals)('from a rank %s is refused, with the reason', async (_, membership, problem) => {
    const address = await host(asMember(0)).listen();
    expect(await failure(host(membership).connect([address, '']))).toEqual(new RankError(0, `cannot be reached at ${address}: ${problem}`));
  });

  it('to a place where nobody listens names it', async () => {
    const address = `unix:${join(folder, 'nobody.sock')}`;
    expect(await failure(host(asMember(1)).connect([address, '']))).toEqual(new RankError(0, `cannot be reached at ${address}: its link was cut`));
  });

  it('that never comes is waited for until the deadline', async () => {
    const own = host(asMember(0));
    await own.listen();
    expect(await failure(own.connect(['', '']))).toEqual(new RankError(1, 'did not connect within 1 s'));
  });

  it('of a stranger who talks nonsense is closed, and the rank that belongs here still gets in', async () => {
    const own = host(asMember(0), 5_000);
    const address = await own.listen();
    const stranger = createConnection({ path: address.slice('unix:'.length) });
    stranger.on('error', () => undefined);
    stranger.write(Buffer.alloc(100, 'GET / HTTP/1.1\r\n'));
    await once(stranger, 'close');
    const [messenger, peer] = await Promise.all([own.connect([address, '']), host(asMember(1), 5_000).connect([address, ''])]);
    await peer.send(0, tag(0), Uint8Array.of(1, 2, 3));
    expect(await received(messenger, 1, tag(0), 3)).toEqual(Uint8Array.of(1, 2, 3));
  });
});
