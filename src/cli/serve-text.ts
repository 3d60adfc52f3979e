/** What `asyncep serve` says when it is up. */
import type { EngineInfo } from '../cluster/index.ts';
import { BLOCK_TOKENS } from '../runtime/kernels/attention.ts';
import type { ServedModel } from '../serving/operations/operation.ts';
import { formatCount, formatFlops } from './format.ts';
import type { OpenService } from './serve-open.ts';
import { isLoopback, type ServeFlags } from './serve-options.ts';

function engineLine({ engine, adapter, software, measuredFlopsPerSecond, peakFlopsPerSecond, gatherMs, cacheBlocks }: EngineInfo): string {
  const rates = `${formatFlops(measuredFlopsPerSecond)} in a pass of a peak of ${formatFlops(peakFlopsPerSecond)}`;
  const cache = cacheBlocks === 0 ? 'no prefix cache' : `prefix cache of ${formatCount(cacheBlocks * BLOCK_TOKENS)} tokens`;
  return `rank ${engine}: ${adapter}${software ? ' (software)' : ''}, ${rates}, t_EP ${gatherMs.toFixed(2)} ms, ${cache}`;
}

/** The lines, without what is still to come: the address. */
export function startText({ pool, saturation, warning }: Pick<OpenService, 'pool' | 'saturation' | 'warning'>, model: ServedModel, flags: Pick<ServeFlags, 'strategy' | 'ranks' | 'scheduler' | 'kv'>): string[] {
  return [
    `${model.id}: ${flags.strategy} on ${flags.ranks} ${flags.ranks === 1 ? 'rank' : 'ranks'}, scheduler ${flags.scheduler}, --kv ${flags.kv}, prompts of at most ${formatCount(model.maxPromptTokens)} tokens`,
    ...pool.engines.map(engineLine),
    saturation.arithmetic,
    ...(warning === null ? [] : [`note: ${warning}`]),
  ];
}

/** What to know about who can connect; null: nothing. */
export const exposureNote = ({ host, apiKey }: Pick<ServeFlags, 'host' | 'apiKey'>): string | null =>
  (isLoopback(host) || apiKey !== undefined ? null : `note: ${host} can be reached from other machines, and no --api-key is set`);
