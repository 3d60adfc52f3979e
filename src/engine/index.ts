/** One device's forward pass. */
export { createEngine, Engine, storedDtype } from './engine.ts';
export type { EngineOptions, PassResult, PassStats } from './pass-result.ts';
export { checkBatch, MAX_TOP, type Batch, type Sequence, type TokenScores } from './batch.ts';
export { blockHashes } from './prefix/block-hash.ts';
export type { CacheEvents } from './prefix/cache-events.ts';
export { PrefixCache, type PrefixPlan } from './prefix/prefix-cache.ts';
export { prefixCacheBlocks, prefixCacheBytes } from './prefix/prefix-kv.ts';
export { expertLayout, packExpert, type ExpertLayout } from './expert-layout.ts';
export { KV_MODES, kvBlocks, type KvMode } from './kv-blocks.ts';
export { scoringBytes, scoringDemand, widerScoring, type ScoringCapacity } from './scores.ts';
export { workspaceBytes, type Capacity } from './workspace.ts';
