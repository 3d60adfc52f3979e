export { launchCluster, type Cluster, type ClusterOptions, type Progress, type RankInfo, type RunOptions, type RunResult } from './cluster.ts';
export type { ModelSource, PassStats, Tuning } from './messages.ts';
