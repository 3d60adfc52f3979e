export { launchCluster, type Cluster, type ClusterOptions, type Progress, type RankInfo, type RunOptions, type RunResult } from './cluster.ts';
export { ACTIVATIONS, TRANSPORTS, type Activations, type TransportKind, type ModelSource, type PassStats, type Tuning } from './messages.ts';
