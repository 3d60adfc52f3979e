/** Weights over a shaped link: reads of a peer's shard take their time on the same port as messages do. */
import type { Port } from './link.ts';
import type { ShardReader } from './transport.ts';

/**
 * `reader`, whose reads take ingress time at `port` (the real read goes on meanwhile). For shards of peers only: what is read of the own
 * shard never crosses the link.
 */
export function shapedReader(reader: ShardReader, port: Port): ShardReader {
  return {
    rank: reader.rank,
    range: reader.range,
    async read(layer, first, count, into) {
      const onTheLink = port.fetch(into.length);
      await reader.read(layer, first, count, into);
      await onTheLink;
    },
    close: () => reader.close(),
  };
}
