/** True FLOPs of a request, fast enough to be asked for once for every engine that it could go to. */
import { layerFlops, type SequenceWork } from '../model/flops.ts';
import type { ModelConfig } from '../model/types.ts';

/** Layers that cost the same. */
interface LayerKind {
  /** One of them. */
  readonly layer: number;
  readonly count: number;
  readonly last: boolean;
}

function layerKinds({ layerIsMoe, numHiddenLayers }: ModelConfig): LayerKind[] {
  const last = numHiddenLayers - 1;
  const before = layerIsMoe.slice(0, last);
  const kinds = [true, false].map((moe) => ({ layer: before.indexOf(moe), count: before.filter((other) => other === moe).length, last: false }));
  return [...kinds.filter(({ count }) => count > 0), { layer: last, count: 1, last: true }];
}

/** What `prefillFlops` with the last layer's shortcut says, which is what an engine counts, without going through layers that are alike. */
export function requestFlops(config: ModelConfig): (work: SequenceWork) => number {
  const kinds = layerKinds(config);
  return (work) => {
    const { candidates = 0, scored = 0 } = work;
    return kinds.reduce((sum, { layer, count, last }) => {
      const { projections, attention, router, experts, dense } = layerFlops(config, layer, work, last);
      return sum + count * (projections + attention + router + experts + dense);
    }, 2 * config.hiddenSize * (candidates + scored * config.vocabSize));
  };
}
