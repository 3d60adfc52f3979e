/** From the flags of a run to what launches ranks. */
import type { ClusterOptions } from '../cluster/index.ts';
import { InputError } from '../errors.ts';
import { loadTuning } from '../node/tuning-cache.ts';
import type { ChosenModel } from './model-source.ts';
import { type RunOptions, tlsOf } from './options.ts';

/** For keys and values of prefixes, where `--prefix-cache` does not say. */
const PREFIX_CACHE_BYTES = 256 * 2 ** 20;

/** @throws InputError when there is no cache that could be of that size */
function prefixCacheOf({ kv, prefixCache }: Pick<RunOptions, 'kv' | 'prefixCache'>): Pick<ClusterOptions, 'prefixCacheBytes'> {
  if (kv === 'cache') return { prefixCacheBytes: prefixCache ?? PREFIX_CACHE_BYTES };
  if (prefixCache !== undefined) throw new InputError('--prefix-cache', '', `has no use with --kv ${kv}; expected --kv cache`);
  return {};
}

/**
 * Everything that flags say about ranks, with what earlier runs measured of the adapters.
 * @throws InputError for flags that do not go together
 */
export async function clusterOptions(model: ChosenModel, flags: RunOptions): Promise<ClusterOptions> {
  const { ranks, strategy, adapters = [], batchTokens, precision, activations = 'f32', transport, link, wire, dispatch, kv, offload, deviceMemory, deadline } = flags;
  const tls = tlsOf(flags);
  return {
    model: model.source, ranks, strategy, adapters, batchTokens, activations, tune: true, transport, wire, dispatch, kv, offloadLayers: offload, deadlineMs: deadline * 1000,
    ...prefixCacheOf(flags), ...(tls !== undefined && { tls }), ...(link !== undefined && { link }), ...(deviceMemory !== undefined && { deviceMemoryBytes: deviceMemory }),
    ...(precision !== undefined && { dtype: precision }), tuning: await loadTuning(),
  };
}
