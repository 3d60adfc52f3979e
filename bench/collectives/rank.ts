/** A rank process of the bench: does what the parent asks, at the same time as its peers, and times it. */
import { Collectives } from '../../src/collective/collectives.ts';
import type { Membership } from '../../src/collective/messenger.ts';
import type { ShardReader } from '../../src/collective/transport.ts';
import { Copier } from './memcpy.ts';
import { gatherLayer, geometryOf, publish, staging } from './gather.ts';
import { LAYERS, type Answer, type Job, type MeasuredOperation, type Timed } from './jobs.ts';
import { TcpRing } from './tcp.ts';
import { TRANSPORTS, carriers, type TransportName } from './transports.ts';

let member: Membership;
let carry: ReturnType<typeof carriers>;
const collectives = new Map<string, Collectives>();
const readers = new Map<string, ShardReader[]>();
/** Layers go in turn, also from one measurement to the next: a ring keeps an order. */
const gathered = new Map<string, number>();
const copiers = new Map<number, Copier>();
let staged: Uint8Array[] = [];
let tcp: TcpRing;
let pass = 0;

/** Up to this size of S everything is measured. */
const MAX_BYTES = 256 << 20;
const data = new Map<number, Float32Array>();
/** Buffers are kept: a fresh one would be paged in during the measurement. */
function buffer(bytes: number): Float32Array {
  const kept = data.get(bytes) ?? new Float32Array(bytes / 4).fill(1);
  data.set(bytes, kept);
  return kept;
}

const collective: Record<MeasuredOperation, (over: Collectives, bytes: number) => Promise<unknown>> = {
  async allGather(over, bytes) {
    const part = bytes / over.world;
    const into = new Uint8Array(buffer(bytes).buffer);
    await over.allGather({ pass: pass++, step: 0 }, into.subarray(over.rank * part, (over.rank + 1) * part), into, Array.from({ length: over.world }, () => part));
  },
  async reduceScatter(over, bytes) {
    const part = bytes / 4 / over.world;
    const input = buffer(bytes);
    await over.reduceScatter({ pass: pass++, step: 0 }, input, input.subarray(over.rank * part, (over.rank + 1) * part), Array.from({ length: over.world }, () => part));
  },
  async allReduce(over, bytes) {
    await over.allReduce({ pass: pass++, step: 0 }, buffer(bytes));
  },
  async allToAll(over, bytes) {
    const part = bytes / over.world;
    const [send, receive] = [buffer(bytes), buffer(bytes + 4 * over.world)].map((floats) => new Uint8Array(floats.buffer));
    const parts = (of: Uint8Array): (Uint8Array | null)[] => Array.from({ length: over.world }, (_, r) => (r === over.rank ? null : of.subarray(r * part, (r + 1) * part)));
    await over.exchange({ pass: pass++, step: 0 }, parts(send as Uint8Array), parts(receive as Uint8Array));
  },
};

/** Prepares what is to be timed. */
async function subject(timed: Timed): Promise<() => Promise<unknown> | void> {
  if (timed.kind === 'collective') {
    const over = collectives.get(timed.transport) as Collectives;
    return () => collective[timed.operation](over, timed.bytes);
  }
  if (timed.kind === 'tcp') return () => tcp.run(timed.bytes);
  if (timed.kind === 'gather') {
    const from = readers.get(timed.transport) as ShardReader[];
    return () => {
      const layer = ((gathered.get(timed.transport) ?? -1) + 1) % LAYERS;
      gathered.set(timed.transport, layer);
      return gatherLayer(from, staged, layer, timed.transport !== 'shared memory');
    };
  }
  const copier = copiers.get(timed.threads) ?? (await Copier.start(timed.threads, MAX_BYTES));
  copiers.set(timed.threads, copier);
  return () => copier.copy(timed.bytes);
}

async function byTransport(address: (name: TransportName) => Promise<string>): Promise<Record<string, string>> {
  return Object.fromEntries(await Promise.all(TRANSPORTS.map(async (name) => [name, await address(name)] as const)));
}

async function answer(job: Job): Promise<Answer> {
  if (job.kind === 'open') {
    member = { runId: job.runId, rank: job.rank, world: job.world, token: job.runId };
    carry = carriers(member);
    const { ring, address } = await TcpRing.listen();
    tcp = ring;
    return { addresses: { tcp: address, ...(await byTransport((name) => carry[name].host.listen())) } };
  }
  if (job.kind === 'connect') {
    await tcp.connect(job.addresses[(member.rank + 1) % member.world]?.['tcp'] as string);
    for (const name of TRANSPORTS) collectives.set(name, new Collectives(await carry[name].host.connect(job.addresses.map((of) => of[name] as string))));
    return {};
  }
  const geometry = (shard: Extract<Job, { kind: 'publish' }>['shard']) => geometryOf(shard, member.world);
  if (job.kind === 'publish') {
    staged = await staging(job.adapter, member.world - 1, job.shard.expertsPerRank * job.shard.expertBytes);
    return { addresses: await byTransport((name) => publish(carry[name].transport, geometry(job.shard))) };
  }
  if (job.kind === 'openShards') {
    const peers = Array.from({ length: member.world - 1 }, (_, step) => (member.rank + step + 1) % member.world);
    for (const name of TRANSPORTS) {
      readers.set(name, await Promise.all(peers.map((peer) => carry[name].transport.open(peer, job.addresses[peer]?.[name] as string, geometry(job.shard)))));
    }
    return {};
  }
  const run = await subject(job.timed);
  await collectives.get('shared memory')?.barrier({ pass: pass++, step: 0 });
  const [start, before] = [performance.now(), process.cpuUsage()];
  for (let n = 0; n < job.iterations; n++) await run();
  const { user, system } = process.cpuUsage(before);
  return { took: { ms: (performance.now() - start) / job.iterations, cpuMs: (user + system) / 1e3 / job.iterations } };
}

async function reply(job: Job): Promise<void> {
  const told: Answer = await answer(job).catch((error: unknown) => ({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }));
  process.send?.(told);
}

process.on('message', (job: Job) => void reply(job));
process.on('disconnect', () => process.exit(0));
