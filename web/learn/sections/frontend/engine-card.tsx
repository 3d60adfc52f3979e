/** One engine: the batch it gathers, the ones on their way, its cache. */
import { gathers } from '../../../../src/serving/scheduling.ts';
import { CacheBlocks } from './cache-blocks.tsx';
import { run } from './state.ts';
import { ComputingTank, Tank, tankSize, WaitingPile } from './tank.tsx';
import { layersOf, type EngineView } from './view.ts';

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
const requests = (count: number): string => `${count} request${count === 1 ? '' : 's'}`;

/** What the drawing shows, in words. */
function numbersOf({ filling, queue, computing, next, cache }: EngineView): string {
  const { scene: { threshold }, settings: { scheduler, cacheBlocks } } = run.value;
  const load = sum(filling.map(({ prefixFlops, suffixFlops }) => prefixFlops + suffixFlops)) / threshold;
  const gathered = gathers(scheduler) ? `${requests(filling.length)}, ${load.toFixed(2)} T` : `${queue.length} in its queue`;
  const computes = computing === null ? 'idle' : `computes ${(computing.flops / threshold).toFixed(2)} T`;
  const committed = sum(cache.map((part) => part.committed));
  const pending = sum(cache.map((part) => part.pending));
  return `${gathered}; ${computes}${next === null ? '' : ', next ready'}; cache ${committed} of ${cacheBlocks} blocks${pending === 0 ? '' : `, ${pending} promised`}`;
}

export function EngineCard({ index, engine }: { index: number; engine: EngineView }) {
  const { scene: { threshold }, settings: { scheduler, thresholdRequests, cacheBlocks } } = run.value;
  const load = sum(engine.filling.map(({ prefixFlops, suffixFlops }) => prefixFlops + suffixFlops));
  const saturated = gathers(scheduler) && load >= threshold * (1 - 1e-9);
  return (
    <li class={saturated ? 'engine saturated' : 'engine'} data-engine={index}>
      <h3>Engine {index}{saturated && <span class="at-t"> at T</span>}</h3>
      <div class="tanks" aria-hidden="true" style={{ '--at-t': 1 / tankSize(thresholdRequests) }}>
        {gathers(scheduler) ? <Tank caption="gathers" layers={engine.filling} engine={index} /> : <WaitingPile queue={engine.queue} engine={index} />}
        <Tank caption="next" layers={engine.next === null ? [] : layersOf(run.value, engine.next)} />
        <ComputingTank pass={engine.computing} />
        <i class="line-t" />
        <span class="name-t">T</span>
      </div>
      <CacheBlocks parts={engine.cache} capacity={cacheBlocks} />
      <p class="numbers">{numbersOf(engine)}</p>
    </li>
  );
}
