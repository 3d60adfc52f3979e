/** One device's forward pass. */
export { createEngine, Engine, storedDtype, type EngineOptions, type PassResult, type PassStats } from './engine.ts';
export { checkBatch, MAX_TOP, type Batch, type Sequence, type TokenScores } from './batch.ts';
export { blockHashes } from './prefix/block-hash.ts';
export { expertLayout, packExpert, type ExpertLayout } from './expert-layout.ts';
export { KV_MODES, kvBlocks, type KvMode } from './kv-blocks.ts';
export { scoringBytes, scoringDemand, widerScoring, type ScoringCapacity } from './scores.ts';
export { workspaceBytes, type Capacity } from './workspace.ts';
