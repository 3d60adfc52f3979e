import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Link } from '../../src/collective/link.ts';
import { InputError } from '../../src/errors.ts';
import { layerExpertBytes } from '../../src/model/flops.ts';
import { gatherMs } from '../../src/sim/cost.ts';
import { modelPreset } from '../../src/sim/presets/models.ts';
import { simulate, type Step } from '../../src/sim/schedule.ts';
import { arrangementName, checkArrangement, DGX_H100, nodesOf, ranksInStep, topologyGatherMs, type Arrangement, type ArrangementKind } from '../../src/sim/topology.ts';
import { channelsGatherMs, nodeFetchGatherMs, piecesOf, ringGatherMs, ringsGatherMs, type NodesGather } from '../../src/sim/topology-gather.ts';

/** Channels from here on are of one step each. */
const FLIGHTS = 1000;

/** Pieces of equal size on links, played by the simulator's core: the oracle of the formulas. */
class Pieces {
  readonly #steps: Step[] = [];
  readonly #lastOn = new Map<number, number>();

  constructor(private readonly bytes: number) {}

  #add(channels: readonly number[], busyMs: number, delayMs: number, after: readonly number[]): number {
    return this.#steps.push({ kind: 'message', rank: 0, to: 0, channels, busyMs, delayMs, after, bytes: this.bytes, flops: 0, pass: 0, layer: 0 }) - 1;
  }

  /** A link sends in the order in which pieces are added. @returns what is over when the piece is there */
  send(channel: number, link: Link, after: readonly number[]): number {
    const before = this.#lastOn.get(channel);
    const left = this.#add([channel], (this.bytes / link.bytesPerSecond) * 1000, 0, before === undefined ? after : [...after, before]);
    this.#lastOn.set(channel, left);
    return this.#add([FLIGHTS + left], 0, link.latencyMs, [left]); // flights do not wait for one another
  }

  endMs(): number {
    return simulate(this.#steps).wallMs;
  }
}

/** One ring, piece by piece; `links[l]` leads from rank l to the next. */
function playedRing(links: readonly Link[], layerBytes: number, chunkBytes: number): number {
  const ranks = links.length;
  const { count, bytes } = piecesOf(layerBytes / ranks, chunkBytes);
  const pieces = new Pieces(bytes);
  let here: number[][] = links.map(() => Array.from({ length: count }, () => -1)); // what a rank sends next: its own is there
  for (let round = 0; round < ranks - 1; round++) {
    const sent = links.map((link, rank) => (here[rank] as number[]).map((came) => pieces.send(rank, link, came < 0 ? [] : [came])));
    here = links.map((_, rank) => sent[(rank - 1 + ranks) % ranks] as number[]);
  }
  return pieces.endMs();
}

/** A ring of rings, piece by piece. @param fetched what comes over the network is read where it lies, and not handed on */
function playedRings({ devices, nodes, inside, network, layerBytes, chunkBytes }: NodesGather, fetched = false): number {
  const { count, bytes } = piecesOf(layerBytes / (devices * nodes), chunkBytes);
  const pieces = new Pieces(bytes);
  const ranks = Array.from({ length: devices * nodes }, (_, rank) => ({ node: Math.floor(rank / devices), device: rank % devices }));
  const [own, rankOf] = [Array.from({ length: count }, () => -1), (node: number, device: number): number => ((node + nodes) % nodes) * devices + ((device + devices) % devices)];
  const afterOf = (came: number): number[] => (came < 0 ? [] : [came]);
  let here = ranks.map(() => own);
  for (let round = 0; round < nodes; round++) {
    // Into the nodes...
    const fromNetwork = round === nodes - 1 ? here : ranks.map(({ node, device }) => {
      const from = rankOf(node - 1, device);
      return (here[from] as number[]).map((came) => pieces.send(2 * from, network, fetched ? [] : afterOf(came)));
    });
    // ...and, what was there before, round them.
    let passed = here;
    for (let hop = 0; hop < devices - 1; hop++) {
      const sent = ranks.map((_, rank) => (passed[rank] as number[]).map((came) => pieces.send(2 * rank + 1, inside, afterOf(came))));
      passed = ranks.map(({ node, device }) => sent[rankOf(node, device - 1)] as number[]);
    }
    here = fromNetwork;
  }
  return pieces.endMs();
}

const link = fc.record({ bytesPerSecond: fc.integer({ min: 1, max: 40 }).map((rate) => rate * 1e6), latencyMs: fc.constantFrom(0, 0.1, 0.5, 2, 9) });
const layer = fc.integer({ min: 1, max: 60 }).map((thousands) => thousands * 1000);
const chunk = fc.constantFrom(300, 1000, 4000, 1e9);
const layout = fc.record({ devices: fc.integer({ min: 1, max: 4 }), nodes: fc.integer({ min: 1, max: 4 }), inside: link, network: link, layerBytes: layer, chunkBytes: chunk });

describe('the time of a gather in closed form', () => {
  it('is that of one ring played piece by piece, whatever its links', () => {
    fc.assert(fc.property(fc.array(link, { minLength: 2, maxLength: 9 }), layer, chunk, (links, layerBytes, chunkBytes) => {
      expect(ringGatherMs(links, layerBytes, chunkBytes)).toBeCloseTo(playedRing(links, layerBytes, chunkBytes), 6);
    }), { numRuns: 150 });
  });

  it('is that of a ring over nodes played piece by piece, up to 16 ranks', () => {
    fc.assert(fc.property(layout, ({ devices, nodes, ...rest }) => {
      const links = Array.from({ length: devices * nodes }, (_, rank) => (rank % devices === devices - 1 ? rest.network : rest.inside));
      fc.pre(links.length > 1);
      expect(channelsGatherMs({ devices, nodes, ...rest, channels: 1 })).toBeCloseTo(playedRing(links, rest.layerBytes, rest.chunkBytes), 6);
    }), { numRuns: 100 });
  });

  it('is that of a ring of rings played piece by piece, up to 16 ranks', () => {
    fc.assert(fc.property(layout, (shape) => {
      expect(ringsGatherMs(shape)).toBeCloseTo(playedRings(shape), 6);
    }), { numRuns: 150 });
  });

  it('is that of nodes that fetch, played piece by piece, up to 16 ranks', () => {
    fc.assert(fc.property(layout, (shape) => {
      expect(nodeFetchGatherMs(shape)).toBeCloseTo(playedRings(shape, true), 6);
    }), { numRuns: 150 });
  });

  it('on equal links counts latencies only where a shard is on a link for less time than a piece is on its way', () => {
    const [ranks, latencyMs] = [8, 2];
    const links = (bytesPerSecond: number): Link[] => Array.from({ length: ranks }, () => ({ bytesPerSecond, latencyMs }));
    // 10 pieces of 1 ms: a shard is on a link for 10 ms, a piece on its way for 3.
    expect(ringGatherMs(links(1e6), 8 * 10_000, 1000)).toBeCloseTo(7 * 10 + 2, 9);
    // one piece of 1 ms: every hop takes 3.
    expect(ringGatherMs(links(1e6), 8 * 1000, 1000)).toBeCloseTo(6 * 3 + 1 + 2, 9);
  });
});

const NODES = nodesOf(DGX_H100);
const LAYER = layerExpertBytes(modelPreset('qwen3-235b-a22b').config, 1);
const MIB = 2 ** 20;
const timeOf = (kind: ArrangementKind, ranks: number, worldRanks?: number, nodes = NODES): number =>
  topologyGatherMs({ kind, ranks, ...(worldRanks && { worldRanks }) }, nodes, LAYER, MIB);

describe('t_EP of an arrangement', () => {
  it('is the known gather of one machine for all of them on one node', () => {
    const known = gatherMs({ config: modelPreset('qwen3-235b-a22b').config, ranks: 8, weightBytes: 1, link: NODES.inside });
    for (const kind of ['flat', 'channels', 'rings'] as const) expect(timeOf(kind, 8)).toBeCloseTo(known, 9);
    expect(timeOf('replicas', 1000, 8)).toBeCloseTo(known, 9);
  });

  it('flat: nearly a whole layer through one adapter, from two nodes on', () => {
    for (const ranks of [16, 64, 256, 1000]) {
      const alone = ((ranks - 1) / ranks) * (LAYER / 50e9) * 1000;
      expect(timeOf('flat', ranks)).toBeGreaterThan(alone);
      expect(timeOf('flat', ranks)).toBeLessThan(1.1 * alone);
    }
  });

  it('a ring of rings: the slower of both stages and the first shard of the other, to 2 %', () => {
    for (const ranks of [16, 64, 256, 1000]) {
      const overNetwork = ((ranks - 8) / ranks) * (LAYER / 8 / 50e9) * 1000;
      const inside = (7 / 8) * (LAYER / 450e9) * 1000;
      const slower = Math.max(overNetwork, inside);
      const firstOver = LAYER / ranks / 50e9 * 1000;
      expect(timeOf('rings', ranks)).toBeGreaterThanOrEqual(slower);
      expect(timeOf('rings', ranks)).toBeLessThan(1.02 * (slower + firstOver));
    }
  });

  it('channels over all adapters have the bytes of a ring of rings, but the latencies of all ranks', () => {
    const hops = 875 * 0.0034 + 125 * 0.0096;
    expect(timeOf('channels', 64)).toBeLessThan(1.15 * timeOf('rings', 64));
    expect(timeOf('channels', 1000)).toBeGreaterThan(hops);
    expect(timeOf('channels', 1000) / timeOf('rings', 1000)).toBeGreaterThan(1.4);
  });

  it('fetched: all shards of other nodes through the own adapter, beside those of the node over the switch', () => {
    for (const ranks of [16, 1000]) expect(timeOf('fetch', ranks)).toBeCloseTo(((ranks - 8) / ranks) * (LAYER / 50e9) * 1000 + 0.0096, 9);
    expect(timeOf('node-fetch', 1000)).toBeLessThanOrEqual(timeOf('rings', 1000));
  });

  it('replicas: does not depend on how many there are; those of several nodes are nodes that fetch', () => {
    expect(timeOf('replicas', 8, 8)).toBe(timeOf('replicas', 1000, 8));
    expect(timeOf('replicas', 64, 32)).toBe(timeOf('node-fetch', 32));
  });

  it('with a slower network grows by as much where the network bounds it, and stays where it does not', () => {
    const slow = nodesOf(DGX_H100, 100);
    expect(timeOf('flat', 256, undefined, slow) / timeOf('flat', 256)).toBeCloseTo(4, 1);
    expect(timeOf('rings', 1000, undefined, slow) / timeOf('rings', 1000)).toBeCloseTo(4, 1);
    expect(timeOf('replicas', 256, 8, slow)).toBe(timeOf('replicas', 256, 8));
  });
});

describe('an arrangement', () => {
  const refused = (arrangement: Arrangement): string => {
    try {
      checkArrangement(arrangement, NODES);
    } catch (error) {
      expect(error).toBeInstanceOf(InputError);
      return (error as InputError).message;
    }
    throw new Error('was let pass');
  };

  it('is refused where ranks do not fill nodes or worlds', () => {
    expect(refused({ kind: 'flat', ranks: 12 })).toMatchInlineSnapshot(`"topology: ranks: 12 ranks of one world on nodes of 8; expected whole nodes"`);
    expect(refused({ kind: 'replicas', ranks: 1000, worldRanks: 16 })).toMatchInlineSnapshot(`"topology: worldRanks: 16 of 1000 ranks; expected a divisor of all ranks"`);
    expect(refused({ kind: 'rings', ranks: 0 })).toMatchInlineSnapshot(`"topology: ranks: 0; expected a whole number of at least 1"`);
    expect(() => checkArrangement({ kind: 'replicas', ranks: 12, worldRanks: 4 }, NODES)).not.toThrow();
  });

  it('goes in step where shards are handed on: as a whole, by nodes, or not at all', () => {
    const inStep = (kind: ArrangementKind, ranks: number, worldRanks?: number): number => ranksInStep({ kind, ranks, ...(worldRanks && { worldRanks }) }, NODES);
    expect([inStep('flat', 64), inStep('channels', 64), inStep('rings', 64), inStep('node-fetch', 64), inStep('fetch', 64)]).toEqual([64, 64, 64, 8, 1]);
    expect([inStep('replicas', 64, 4), inStep('replicas', 64, 8), inStep('replicas', 64, 32), inStep('rings', 4)]).toEqual([1, 1, 8, 4]);
  });

  it('has a name', () => {
    expect([arrangementName({ kind: 'flat' }), arrangementName({ kind: 'replicas', worldRanks: 16 })]).toEqual(['flat', 'replicas of 16']);
  });
});
