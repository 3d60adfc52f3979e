import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Membership } from '../../src/collective/messenger.ts';
import type { ShardGeometry } from '../../src/collective/transport.ts';
import { WebSocketHost } from '../../src/collective/websocket/host.ts';
import { checkUpgrade } from '../../src/collective/websocket/handshake.ts';
import { sampleGeometry, samplePack } from './sample-shards.ts';
import { gatherLayer, member, openRing } from './websocket-worlds.ts';
import { sampleRun } from './sample-shards.ts';

const OPTIONS = { deadlineMs: 1_000 };
let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'asyncep-test-'))));
afterAll(() => rm(folder, { recursive: true }));

describe('a rank that wants to connect', () => {
  const geometry = sampleGeometry({ world: 2 });
  const hosts: WebSocketHost[] = [];
  afterEach(() => Promise.all(hosts.splice(0).map((host) => host.close())));
  const host = (rank: number, over: Partial<Membership> = {}): WebSocketHost => {
    const made = new WebSocketHost(member(rank, 2, over), { ...OPTIONS, folder });
    hosts.push(made);
    return made;
  };
  /** What rank 1 is told when it opens the shard of rank 0. */
  const told = async (over: Partial<Membership>, theirs: Partial<ShardGeometry> = {}): Promise<string> => {
    const server = host(0);
    const address = await server.transport.publish(geometry, samplePack(geometry));
    const client = host(1, over);
    await client.transport.publish(geometry, samplePack(geometry));
    const outcome = await client.transport.open(0, address, { ...geometry, ...theirs }).then(() => 'let in', (error: Error) => error.message.replace(address, 'ADDRESS'));
    await Promise.all(hosts.splice(0).map((open) => open.close()));
    return outcome;
  };

  it('is let in when it belongs to the run and has the model', async () => {
    expect(await told({})).toBe('let in');
  });

  it('is refused in the upgrade when it does not belong to the run', async () => {
    expect(await told({ token: 'guess' })).toBe('rank 0: cannot be reached at ADDRESS: 401 the token is not that of this run');
    expect(await told({ runId: 'other' })).toBe('rank 0: cannot be reached at ADDRESS: 409 run is "other"; expected "sockets"');
    expect(await told({ world: 3 })).toBe('rank 0: cannot be reached at ADDRESS: 409 world is "3"; expected "2"');
  });

  it('is refused with a reason when it expects other weights', async () => {
    const refused = 'rank 0: cannot be reached at ADDRESS: ';
    expect(await told({}, { modelHash: 'another' })).toBe(`${refused}modelHash is "another"; expected "sample"`);
    expect(await told({}, { dtype: 'f32' })).toBe(`${refused}dtype is "f32"; expected "f16"`);
    expect(await told({}, { expertBytes: 512 })).toBe(`${refused}expertBytes is 512; expected 768`);
    expect(await told({}, { layers: [1, 2] })).toBe(`${refused}layers is [1,2]; expected [1,2,4]`);
  });

  it('is refused when it speaks another version, or is no rank it could be', () => {
    const headers = { authorization: 'Bearer secret', 'sec-websocket-protocol': 'asyncep.1', 'x-asyncep-run': 'sockets', 'x-asyncep-world': '3', 'x-asyncep-rank': '2' };
    const answer = (url: string, over: Record<string, string>): string => {
      try {
        const { purpose, peer } = checkUpgrade({ url, headers: { ...headers, ...over } }, member(1, 3));
        return `${purpose} ${peer}`;
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(answer('/weights', {})).toBe('weights 2');
    expect(answer('/messages', { 'x-asyncep-rank': '0' })).toBe('messages 0');
    expect(answer('/weights', { 'sec-websocket-protocol': 'asyncep.9' })).toBe('409 subprotocol is "asyncep.9"; expected "asyncep.1"');
    expect(answer('/weights', { 'x-asyncep-rank': '0' })).toBe('409 rank is "0"; expected "2"');
    expect(answer('/messages', { 'x-asyncep-rank': '1' })).toBe('409 rank is "1"; expected another than 1 of 3');
    expect(answer('/messages', { 'x-asyncep-rank': '-1' })).toBe('409 rank is "-1"; expected another than 1 of 3');
    expect(answer('/', {})).toBe('404 nothing is at /; expected /weights or /messages');
    expect(answer('/', { authorization: '' })).toBe('401 the token is not that of this run');
  });

  it('is refused when it is connected already', async () => {
    const server = host(0);
    const address = await server.transport.publish(geometry, samplePack(geometry));
    const [first, second] = [host(1), new WebSocketHost(member(1, 2), { ...OPTIONS, folder: await mkdtemp(join(folder, 'second')) })];
    hosts.push(second);
    for (const client of [first, second]) await client.transport.publish(geometry, samplePack(geometry));
    await first.transport.open(0, address, geometry);
    await expect(second.transport.open(0, address, geometry)).rejects.toThrow('409 rank 1 is connected already');
  });

  it('learns that nobody is there', async () => {
    const client = host(1);
    await client.transport.publish(geometry, samplePack(geometry));
    await expect(client.transport.open(0, 'ws://127.0.0.1:1', geometry)).rejects.toThrow('rank 0: cannot be reached at ws://127.0.0.1:1: connect ECONNREFUSED');
    await expect(client.transport.open(0, 'unix:/x', geometry)).rejects.toThrow('unix:/x: not where a rank listens; expected ws://HOST:PORT or wss://HOST:PORT');
  });
});

describe('a ring with certificates', () => {
  const make = (name: string): { certificate: string; key: string } => {
    const files = { certificate: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=asyncep test',
      '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', files.key, '-out', files.certificate], { stdio: 'ignore' });
    return files;
  };

  it('goes through TLS', async () => {
    const geometry = sampleGeometry({ world: 3, numExperts: 5, expertBytes: 768 * 1024 });
    const ring = await openRing(geometry, { tls: make('ours') });
    expect(await ring.ranks[0]!.host.listen()).toMatch(/^wss:\/\/127\.0\.0\.1:\d+$/);
    const layers = await Promise.all(ring.ranks.map((rank) => gatherLayer(rank, geometry, 2)));
    await ring.close();
    for (const layer of layers) expect(Buffer.compare(layer, sampleRun(geometry, 2, 0, 5))).toBe(0);
  });

  it('does not trust a peer whose certificate the authority did not sign', async () => {
    const geometry = sampleGeometry({ world: 2 });
    const [ours, theirs] = [make('good'), make('bad')];
    const server = new WebSocketHost(member(0, 2), { ...OPTIONS, folder, tls: theirs });
    const client = new WebSocketHost(member(1, 2), { ...OPTIONS, folder, tls: ours });
    const address = await server.transport.publish(geometry, samplePack(geometry));
    await client.transport.publish(geometry, samplePack(geometry));
    await expect(client.transport.open(0, address, geometry)).rejects.toThrow(/^rank 0: cannot be reached at wss:.*: (self-signed certificate|certificate signature failure)/);
    await Promise.all([server.close(), client.close()]);
  });
});
