/** Engines that answer at once, so that what is left is the server's own work. */
import type { EngineInfo, EnginePool, PassWork } from '../../src/cluster/index.ts';

const info = (engine: number): EngineInfo => ({
  engine, adapter: 'none', software: true, pid: 0, state: 'ready', restarts: 0, gatherMs: 0, measuredFlopsPerSecond: 1e15, peakFlopsPerSecond: 1e15,
  maxBatchBlocks: 1e6, cacheBlocks: 0, memory: [],
});

/** Logits are zeros; nothing can be scored. */
export function instantPool(count: number): EnginePool {
  const engines = Array.from({ length: count }, (_, engine) => info(engine));
  let pass = 0;
  const none = new Float64Array(0);
  return {
    engines,
    async pass(rank, { sequences, candidates }: PassWork) {
      const tokens = sequences.reduce((sum, sequence) => sum + sequence.tokens.length, 0);
      return {
        logits: new Float32Array(sequences.length * candidates.length), scores: null, cachedTokens: sequences.map(() => 0), cache: { materialised: none, evicted: none },
        stats: {
          pass: pass++, rank, sequences: sequences.length, tokens, flops: tokens, startEpochMs: performance.timeOrigin + performance.now(), wallMs: 0,
          gatherMs: 0, copyMs: 0, waitedMs: 0, exposedMs: 0, hostBytes: 0, sentBytes: 0, receivedBytes: 0, transferMs: 0, expertRows: 0, engine: {},
        },
      };
    },
    onChange: () => () => {},
    onTrace: () => () => {},
    close: async () => {},
  };
}
