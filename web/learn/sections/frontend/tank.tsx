/** A batch as a vessel: each request is a layer as high as its FLOPs, with the line T across. Of the one that computes, height is time as well. */
import type { Pass } from './moments.ts';
import { lookOf } from './prefixes.ts';
import { FLOPS_PER_SECOND, type Scene } from './scene.ts';
import { nowMs, run } from './state.ts';
import { layersOf, type Layer } from './view.ts';

/** What the vessel holds, over T: T and a request more. */
export const tankSize = (thresholdRequests: number): number => (thresholdRequests + 1.3) / thresholdRequests;

/** Percent of the vessel's height. */
function heightOf(flops: number, { threshold }: Scene): number {
  return (100 * flops) / (threshold * tankSize(run.value.settings.thresholdRequests));
}

function LayerBars({ layers }: { layers: readonly Layer[] }) {
  const { scene } = run.value;
  return (
    <>
      {layers.map(({ request, prefix, prefixFlops, suffixFlops }) => (
        <i key={request} class="layer" style={{ ...lookOf(prefix).style, height: `${heightOf(prefixFlops + suffixFlops, scene)}%` }}>
          <i class="edge"><b>{lookOf(prefix).letter}</b></i>
          <i class="work">
            <i class="suffix" style={{ flexGrow: suffixFlops }} />
            {prefixFlops > 0 && <i class="prefix" style={{ flexGrow: prefixFlops }} />}
          </i>
        </i>
      ))}
    </>
  );
}

/** Requests that a baseline gave to the engine and that are in no batch yet: how much work they are, nobody has asked. */
export const WaitingPile = ({ queue, engine }: { queue: readonly number[]; engine: number }) => (
  <div class="tank">
    <div class="layers pile" data-tank={engine}>
      {queue.map((request) => {
        const { letter, style } = lookOf(run.value.arrivals[request]?.prefix as number);
        return <i key={request} style={style}>{letter}</i>;
      })}
    </div>
    <span class="caption">waiting</span>
  </div>
);

/** A batch that is gathered, or that waits for its engine. */
export const Tank = ({ caption, layers, engine }: { caption: string; layers: readonly Layer[]; engine?: number }) => (
  <div class="tank"><div class="layers" data-tank={engine}><LayerBars layers={layers} /></div><span class="caption">{caption}</span></div>
);

/** How far a pass is: what is still to do is veiled. Its own component, because it changes with every frame. */
function Progress({ pass }: { pass: Pass }) {
  const { scene } = run.value;
  const doneMs = Math.min(pass.endMs, nowMs.value) - pass.startMs;
  const done = heightOf((doneMs / 1000) * FLOPS_PER_SECOND, scene);
  const all = heightOf(((pass.endMs - pass.startMs) / 1000) * FLOPS_PER_SECOND, scene);
  return <i class="todo" style={{ bottom: `${done}%`, height: `${Math.max(0, all - done)}%` }} />;
}

/** The batch that computes; where it has too little work, the wait for experts stands on top of it. */
export function ComputingTank({ pass }: { pass: Pass | null }) {
  const { scene } = run.value;
  return (
    <div class="tank">
      <div class="layers computing">
        {pass !== null && <LayerBars layers={layersOf(run.value, pass)} />}
        {pass !== null && pass.exposedMs > 0 && <i class="exposed-wait" style={{ height: `${heightOf((pass.exposedMs / 1000) * FLOPS_PER_SECOND, scene)}%` }} />}
        {pass !== null && <Progress pass={pass} />}
      </div>
      <span class="caption">computes</span>
    </div>
  );
}
