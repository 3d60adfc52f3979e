/** One device's forward pass. */
export { createEngine, Engine, storedDtype, type EngineOptions, type PassResult, type PassStats } from './engine.ts';
export { checkBatch, type Batch, type Sequence } from './batch.ts';
export { expertLayout, packExpert, type ExpertLayout } from './expert-layout.ts';
export { KV_MODES, kvBlocks, type KvMode } from './kv-blocks.ts';
export { workspaceBytes, type Capacity } from './workspace.ts';
