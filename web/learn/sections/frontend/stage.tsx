/** The drawing: the queue, the engines, and lines between them. */
import { useRef } from 'preact/hooks';
import { EngineCard } from './engine-card.tsx';
import { Lines } from './lines.tsx';
import { Queue } from './queue.tsx';
import { pause, play, playing, run, step, view } from './state.ts';

/** Arrow keys step, the space bar plays, when the drawing itself has the focus. */
function onKey(event: KeyboardEvent): void {
  if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return;
  const actions: Record<string, () => void> = {
    ArrowRight: () => step(1), ArrowLeft: () => step(-1), ' ': () => (playing.value ? pause() : play()),
  };
  const action = actions[event.key];
  if (action === undefined) return;
  event.preventDefault();
  action();
}

export function Stage() {
  const stage = useRef<HTMLDivElement | null>(null);
  return (
    <div class="stage" ref={stage} role="group" aria-label="Queue and engines; arrow keys step, space plays" tabIndex={0} onKeyDown={onKey} data-engines={run.value.settings.engines}>
      <Queue />
      <ol class="engines">{view.value.engines.map((engine, index) => <EngineCard key={index} index={index} engine={engine} />)}</ol>
      <Lines stage={stage} />
    </div>
  );
}

const SWATCHES = [
  ['prefix', 'a prefix'], ['suffix', 'a request\'s own tokens'], ['pending', 'promised: a request was routed, its batch is not answered'],
  ['exposed-wait', 'waiting for experts'], ['todo', 'still to compute'],
] as const;

export const Legend = () => (
  <ul class="legend">{SWATCHES.map(([kind, text]) => <li key={kind}><i class={`swatch ${kind}`} aria-hidden="true" />{text}</li>)}</ul>
);
