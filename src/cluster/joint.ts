/** Whether, and how, all ranks take part in every pass. */
import { rowStrategy } from '../strategy/index.ts';
import { passShape, type PassShape } from './batching.ts';
import { keepsAll } from './launcher.ts';
import type { ClusterOptions } from './options.ts';

/** See {@link passShape}. */
export interface JointKind {
  readonly kind: 'own' | 'split' | 'stages';
  /** All ranks see the same batch. */
  readonly ofAll: boolean;
}

export const batchTokensOf = ({ batchTokens = 4096 }: Pick<ClusterOptions, 'batchTokens'>): number => batchTokens;

/** How all ranks take part in every pass; null where each runs passes of its own. */
export function jointKind(options: Pick<ClusterOptions, 'strategy' | 'transport' | 'offloadLayers'>): JointKind | null {
  const definition = rowStrategy(options.strategy);
  if (definition === undefined) return options.transport === 'websocket' && !keepsAll(options) ? { kind: 'own', ofAll: false } : null;
  return definition.kind === 'stages' ? { kind: 'stages', ofAll: true } : { kind: 'split', ofAll: definition.attention === 'heads' };
}

export function jointShape({ kind, ofAll }: JointKind, options: ClusterOptions, totalTokens: number): PassShape {
  const { ranks, passesInFlight } = options;
  return passShape(kind, { ofAll, ranks, batchTokens: batchTokensOf(options), totalTokens, ...(passesInFlight !== undefined && { inFlight: passesInFlight }) });
}
