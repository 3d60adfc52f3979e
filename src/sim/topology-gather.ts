/**
 * Times of ring AllGathers in closed form. What is counted: every link sends one piece after another; a piece of s bytes occupies a link of B bytes/s for
 * s/B, is there alpha later, and is passed on then. All ranks begin at the same time, and have room for all that comes.
 *
 * ONE RING of P ranks whose shards travel in m pieces of c bytes. Link l (from rank l to l + 1) sends the pieces of rank l's shard, then those of rank
 * l - 1's, ..., (P-1) m in all; number them n = 0, 1, .... With x_l = c / B_l and y_l = x_l + alpha_l piece n can leave when the one before it has left
 * the link, and when it has come over the link before, where it was number n - m:
 *
 *     start_l(n) = max(start_l(n-1) + x_l,  start_{l-1}(n-m) + y_{l-1})
 *
 * The start of the last piece is the longest way back to a piece that was there from the start (n < m): h hops over the links before l, each worth m
 * numbers, and a *stay* for each of the other (P-1-h) m - 1 numbers. Stays cost least-loss on the slowest link of the way, so
 *
 *     t = max over l and h = 0 .. P-2 of   sum of y over the h links before l  +  ((P-1-h) m - 1) max{x of these links and l}  +  x_l + alpha_l
 *
 * h = 0: the slowest link carries (P-1)/P of a layer, one latency. h = P - 2: nearly all latencies of the ring. On equal links the sum is linear in h:
 *
 *     t = (P-2) max(m x, x + alpha) + m x + alpha
 *
 * so that latencies count only where a shard's time on a link, m x, is less than a piece's way over it.
 */
import type { Link } from '../collective/link.ts';

/** Pieces of a shard and their size: equal ones of at most `chunkBytes`. */
export function piecesOf(shardBytes: number, chunkBytes: number): { readonly count: number; readonly bytes: number } {
  const count = Math.max(1, Math.ceil(shardBytes / chunkBytes));
  return { count, bytes: shardBytes / count };
}

/** Time of a piece on a link. */
const onLinkMs = (bytes: number, { bytesPerSecond }: Link): number => (bytes / bytesPerSecond) * 1000;

/**
 * Milliseconds until every rank of one ring has all shards. The formula at the head of this file, for any links.
 * @param links link l leads from rank l to rank l + 1, the last one back to rank 0
 * @param period links repeat after so many: so many ends need to be looked at
 */
export function ringGatherMs(links: readonly Link[], layerBytes: number, chunkBytes: number, period = links.length): number {
  const ranks = links.length;
  if (ranks === 1) return 0;
  const { count, bytes } = piecesOf(layerBytes / ranks, chunkBytes);
  const x = links.map((link) => onLinkMs(bytes, link));
  let latest = 0;
  for (let end = 0; end < period; end++) {
    const [own, latency] = [x[end] as number, (links[end] as Link).latencyMs];
    let [hops, slowest] = [0, own];
    for (let h = 0; h <= ranks - 2; h++) {
      if (h > 0) {
        const link = (end - h + ranks) % ranks;
        hops += (x[link] as number) + (links[link] as Link).latencyMs;
        slowest = Math.max(slowest, x[link] as number);
      }
      latest = Math.max(latest, hops + ((ranks - 1 - h) * count - 1) * slowest + own + latency);
    }
  }
  return latest;
}

export interface NodesGather {
  /** Of a node. */
  readonly devices: number;
  readonly nodes: number;
  readonly inside: Link;
  /** Of each device's adapter. */
  readonly network: Link;
  readonly layerBytes: number;
  readonly chunkBytes: number;
}

/**
 * Rings over all ranks, node after node. Each of the `channels` has an equal part of every shard, an adapter of each node to itself, and an equal
 * part of the links inside: all are done at the same time. One channel is the flat ring.
 */
export function channelsGatherMs({ devices, nodes, inside, network, layerBytes, chunkBytes, channels }: NodesGather & { readonly channels: number }): number {
  const part: Link = { ...inside, bytesPerSecond: inside.bytesPerSecond / channels };
  const links = Array.from({ length: devices * nodes }, (_, rank) => (rank % devices === devices - 1 ? network : part));
  return ringGatherMs(links, layerBytes / channels, chunkBytes, devices);
}

/**
 * Ring of rings. Device g of every node is on network ring g: N ranks, each with its shard of L / (D N) bytes. What a device has and gets of it, N shards
 * one after another, goes round the ring inside its node; a link inside sends, shard after shard, its own device's and then those that come from the D - 2
 * devices before it. Both stages run at once, piece by piece.
 *
 * With x = c / B_inside, y = x + alpha_inside, z = c / B_network, w = z + alpha_network and m pieces of a shard, one shard of each device is round inside in
 *
 *     S = (D-2) max(m x, y) + m x          (then alpha_inside)
 *
 * Piece i of the j-th shard that comes over the network is there at (j-1) max(m z, w) + i z + w, and what is left to do inside from it on is
 * (N-j) S - i x. The end is the latest of these sums. They are linear in i and in j, so the first and the last of each decide: with
 * M = max(m z, w),
 *
 *     t = alpha_inside + max(N S,  w + (m-1) max(0, z-x) + S + (N-2) max(M, S))
 *
 * To a few pieces and latencies that is the slower of (D-1)/D L / B_inside and (N-1)/N L / (D B_network).
 */
export const ringsGatherMs = (shape: NodesGather): number =>
  stagesMs(shape, ({ count, zMs, wMs }) => Math.max(count * zMs, wMs));

/**
 * Nodes that fetch: as a ring of rings, but what comes over the network is read where it lies, and need not have come to a neighbour before. So M = m z, with
 * one latency for all N - 1 shards.
 */
export const nodeFetchGatherMs = (shape: NodesGather): number => stagesMs(shape, ({ count, zMs }) => count * zMs);

/** A shard's pieces on the network: z and w of the formulas. */
interface OverNetwork {
  readonly count: number;
  readonly zMs: number;
  readonly wMs: number;
}

/** Both stages. @param shardMs M: how much later than a shard the next one comes over the network */
function stagesMs({ devices, nodes, inside, network, layerBytes, chunkBytes }: NodesGather, shardMs: (network: OverNetwork) => number): number {
  const { count, bytes } = piecesOf(layerBytes / (devices * nodes), chunkBytes);
  const [x, z] = [onLinkMs(bytes, inside), onLinkMs(bytes, network)];
  const w = z + network.latencyMs;
  const nextShard = shardMs({ count, zMs: z, wMs: w });
  if (devices === 1) return nodes === 1 ? 0 : (nodes - 2) * nextShard + (count - 1) * z + w;
  const shard = (devices - 2) * Math.max(count * x, x + inside.latencyMs) + count * x;
  if (nodes === 1) return shard + inside.latencyMs;
  const behindNetwork = w + (count - 1) * Math.max(0, z - x) + shard + (nodes - 2) * Math.max(nextShard, shard);
  return inside.latencyMs + Math.max(nodes * shard, behindNetwork);
}

/**
 * Everyone fetches for itself, s = L / (D N): D - 1 shards over the port inside, (N-1) D shards through the adapter, both at once, one latency each. An owner
 * is read as much as it reads, so its links are no narrower on the other side.
 */
export function fetchGatherMs({ devices, nodes, inside, network, layerBytes }: Omit<NodesGather, 'chunkBytes'>): number {
  const shardBytes = layerBytes / (devices * nodes);
  const readMs = (shards: number, link: Link): number => (shards === 0 ? 0 : onLinkMs(shards * shardBytes, link) + link.latencyMs);
  return Math.max(readMs(devices - 1, inside), readMs((nodes - 1) * devices, network));
}
