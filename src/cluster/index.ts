export { launchCluster } from './cluster.ts';
export type { EngineInfo, EnginePool, EngineState, PassAnswer, PassSequence, PassWork } from './engine-pool.ts';
export { launchEnginePool, type EnginePoolOptions } from './pool.ts';
export type { Cluster, ClusterOptions, Progress, RankInfo, RunOptions, RunResult } from './options.ts';
export { ACTIVATIONS, TRANSPORTS, type Activations, type TransportKind, type ModelSource, type PassStats, type Tuning } from './messages.ts';
