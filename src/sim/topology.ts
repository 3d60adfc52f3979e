/**
 * Machines of several nodes, and how ranks are arranged on them: who gathers a layer's experts from whom.
 *
 * A node has D devices on a switch; every device has a port inside the node and a network adapter of its own, full duplex, and all links of a kind are
 * equal. The network between nodes is not oversubscribed: two adapters that talk to each other have the adapter's rate.
 *
 *     flat       one ring over all P ranks, node after node: of a node's adapters one sends and one receives
 *     channels   the same ring D times, each turned by one device, so that every adapter carries one of them (as NCCL builds its rings); each has 1/D of
 *                the bytes and of the links inside
 *     rings      ring of rings: device g of every node is on ring g over the network, which brings each remote byte into a node once; rings inside the
 *                nodes pass on what came in
 *     fetch      nobody hands on: every device reads every shard where it lies, its node's over the switch, all others through its own adapter
 *     node-fetch device g of every node reads the shards of the devices g of the others; rings inside the nodes pass on what came in
 *     replicas   worlds of W ranks that hold all experts each, nothing travels between worlds; `fetch` on one node, `node-fetch` on more
 *
 * Where shards are handed on, ranks go *in step*: a rank gets a layer when all whose links it comes over have asked for it. So a flat ring and a ring of
 * rings go in step as a whole, a node that fetches as a node, and who reads for itself waits for nobody.
 *
 * Shards are cut by bytes, P equal ones: the engine cuts by whole experts, and so takes no more ranks than experts.
 */
import type { Link } from '../collective/link.ts';
import { InputError } from '../errors.ts';
import type { Figure } from './presets/hardware-schema.ts';
import { channelsGatherMs, fetchGatherMs, nodeFetchGatherMs, ringGatherMs, ringsGatherMs } from './topology-gather.ts';

export const ARRANGEMENTS = ['flat', 'channels', 'rings', 'fetch', 'node-fetch', 'replicas'] as const;
export type ArrangementKind = (typeof ARRANGEMENTS)[number];

/** Links of one device, each in one direction; a latency is that of one hop of a ring. */
export interface Nodes {
  /** D: devices of a node. */
  readonly devices: number;
  readonly inside: Link;
  /** Of one device's own adapter. */
  readonly network: Link;
}

/** Where the figures of {@link Nodes} are from. */
export interface NodesPreset {
  readonly name: string;
  readonly title: string;
  readonly devices: number;
  readonly inside: { readonly bytesPerSecond: Figure; readonly latencyMs: Figure };
  readonly network: { readonly bytesPerSecond: Figure; readonly latencyMs: Figure };
}

const NCCL = 'NCCL\'s own model of rings, hwLat of Ring/Simple, https://github.com/NVIDIA/nccl/blob/01afd20a77b5804e0ecf1042509dd9d20ebf9e93/src/graph/tuning.cc';

/** Eight H100 or H200 with an adapter of 400 Gbit/s each. */
export const DGX_H100: NodesPreset = {
  name: 'dgx-h100', title: '8 x H100 on NVLink, 8 x 400 Gbit/s', devices: 8,
  inside: {
    bytesPerSecond: { value: 450e9, kind: 'data sheet', source: 'NVIDIA H100 SXM, NVLink 900 GB/s in both directions together, https://www.nvidia.com/en-us/data-center/h100/' },
    latencyMs: { value: 0.0034, kind: 'data sheet', source: `${NCCL}: NVLink 3.4 us` },
  },
  network: {
    bytesPerSecond: {
      value: 50e9, kind: 'data sheet',
      source: 'DGX H100 and H200: eight single-port ConnectX-7, up to 400 Gb/s, https://docs.nvidia.com/dgx-basepod/reference-architecture-infrastructure-foundation-enterprise-ai/latest/core-components.html',
    },
    latencyMs: { value: 0.0096, kind: 'data sheet', source: `${NCCL}: network 9.6 us` },
  },
};

/** The preset's links; `networkGbits` of each adapter instead of the preset's. */
export function nodesOf({ devices, inside, network }: NodesPreset, networkGbits?: number): Nodes {
  const linkOf = ({ bytesPerSecond, latencyMs }: NodesPreset['inside']): Link => ({ bytesPerSecond: bytesPerSecond.value, latencyMs: latencyMs.value });
  const net = linkOf(network);
  return { devices, inside: linkOf(inside), network: networkGbits === undefined ? net : { ...net, bytesPerSecond: (networkGbits / 8) * 1e9 } };
}

/** How P ranks share a model. */
export interface Arrangement {
  readonly kind: ArrangementKind;
  /** P: all ranks. */
  readonly ranks: number;
  /** W: ranks of each world of `replicas`; a divisor of P. */
  readonly worldRanks?: number;
}

/** `replicas of 8`, `flat`. */
export const arrangementName = ({ kind, worldRanks }: Pick<Arrangement, 'kind' | 'worldRanks'>): string => (kind === 'replicas' ? `replicas of ${worldRanks}` : kind);

/** Ranks that hold all experts together: P, or W of replicas. */
export const worldSize = ({ kind, ranks, worldRanks = ranks }: Arrangement): number => (kind === 'replicas' ? worldRanks : ranks);

/** @throws InputError where ranks do not fill nodes, or worlds */
export function checkArrangement(arrangement: Arrangement, { devices }: Pick<Nodes, 'devices'>): void {
  const { ranks } = arrangement;
  const world = worldSize(arrangement);
  const refuse = (field: string, problem: string): never => { throw new InputError('topology', field, problem); };
  if (!Number.isInteger(ranks) || ranks < 1) refuse('ranks', `${ranks}; expected a whole number of at least 1`);
  if (!Number.isInteger(world) || world < 1 || ranks % world !== 0) refuse('worldRanks', `${world} of ${ranks} ranks; expected a divisor of all ranks`);
  if (world > devices && world % devices !== 0) refuse('ranks', `${world} ranks of one world on nodes of ${devices}; expected whole nodes`);
}

/** Ranks that go in step with each other: a divisor of all ranks, 1 where each waits for nobody. */
export function ranksInStep(arrangement: Arrangement, { devices }: Pick<Nodes, 'devices'>): number {
  const world = worldSize(arrangement);
  const { kind } = arrangement;
  if (kind === 'fetch' || (kind === 'replicas' && world <= devices)) return 1;
  return kind === 'node-fetch' || kind === 'replicas' ? Math.min(world, devices) : world;
}

/**
 * Milliseconds in which every rank of a world gets what it lacks of one layer, over idle links.
 * @param layerBytes of all experts of a layer
 * @param chunkBytes pieces in which a shard travels: a rank passes a piece on when all of it is there
 * @throws InputError where ranks do not fill nodes, or worlds
 */
export function topologyGatherMs(arrangement: Arrangement, nodes: Nodes, layerBytes: number, chunkBytes: number): number {
  checkArrangement(arrangement, nodes);
  const world = worldSize(arrangement);
  const { kind } = arrangement;
  const shape = { ...nodes, devices: Math.min(world, nodes.devices), nodes: Math.max(1, world / nodes.devices), layerBytes, chunkBytes };
  if (kind === 'fetch' || (kind === 'replicas' && shape.nodes === 1)) return fetchGatherMs(shape);
  if (shape.nodes === 1) return ringGatherMs(Array.from({ length: world }, () => nodes.inside), layerBytes, chunkBytes);
  if (kind === 'flat') return channelsGatherMs({ ...shape, channels: 1 });
  if (kind === 'channels') return channelsGatherMs({ ...shape, channels: nodes.devices });
  return kind === 'rings' ? ringsGatherMs(shape) : nodeFetchGatherMs(shape);
}
