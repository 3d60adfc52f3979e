/** The same batch, shared in other ways. */
import { effect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { Compare } from '../../comparison.ts';
import { colours } from '../../drawing/colours.ts';
import { useCanvas } from '../../drawing/use-canvas.ts';
import { bytesText, msText, timesText } from '../../numbers.ts';
import { nowMs } from '../../player.ts';
import { PASSES } from '../../scenario.ts';
import { realRun } from '../../shown.ts';
import { answer, isCurrent, keepComparing, together } from './compared.ts';
import { paintCompared, ROW_PIXELS } from './paint.ts';
import { NAMES, REASONS } from './words.ts';

const longestMs = (compared: readonly Compare[]): number => Math.max(...compared.map(({ wallMs }) => wallMs));

function Rows({ one, lengthMs }: { readonly one: Compare; readonly lengthMs: number }) {
  const ref = useCanvas((canvas) => paintCompared(canvas, one, lengthMs, colours.value), [one, lengthMs]);
  const label = `${NAMES[one.strategy][0]}: done after ${msText(one.wallMs)}, ${msText(one.exposedMs)} of it waiting for bytes, ${msText(one.idleMs)} without work`;
  return <canvas ref={ref} role="img" aria-label={label} style={{ height: `${one.ranks.length * ROW_PIXELS}px` }} />;
}

const CompareRow = ({ one, lengthMs }: { readonly one: Compare; readonly lengthMs: number }) => (
  <div class="compared" data-strategy={one.strategy}>
    <div class="name"><b>{NAMES[one.strategy][0]}</b><small>{msText(one.wallMs)}</small></div>
    <div class="rows">
      <Rows one={one} lengthMs={lengthMs} />
      {realRun.value === null && <i class="playhead" />}
    </div>
    <p class="reason">{REASONS[one.strategy]}</p>
  </div>
);

const Numbers = ({ compared }: { readonly compared: readonly Compare[] }) => (
  <div class="scroll" role="region" aria-label="Strategies in numbers" tabIndex={0}>
    <table>
      <thead>
        <tr><th scope="col">strategy</th><th scope="col">time</th><th scope="col">speed</th><th scope="col">exposed</th><th scope="col">no work</th><th scope="col">sent a layer</th><th scope="col">by the paper's table</th><th scope="col">memory</th></tr>
      </thead>
      <tbody>
        {compared.map((one) => (
          <tr key={one.strategy} data-strategy={one.strategy}>
            <th scope="row">{NAMES[one.strategy][0]} <small>{NAMES[one.strategy][1]}</small></th>
            <td data-key="wall">{msText(one.wallMs)}</td>
            <td data-key="speed">{timesText((compared[0] as Compare).wallMs / one.wallMs)}</td>
            <td data-key="exposed" class={one.exposedMs > 0 ? 'exposed' : ''}>{msText(one.exposedMs)}</td>
            <td data-key="idle">{msText(one.idleMs)}</td>
            <td data-key="sent">{bytesText(one.sentBytes)}</td>
            <td data-key="paper">{bytesText(one.paperSentBytes)}</td>
            <td data-key="memory">{bytesText(one.memoryBytes)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  </div>
);

const Choices = () => (
  <div class="choices" role="group" aria-label="How the baselines run">
    <label>EP and TP have under way{' '}
      <select id="in-flight" value={together.value.inFlight} onChange={({ currentTarget }) => void (together.value = { ...together.value, inFlight: currentTarget.value === '1' ? 1 : 2 })}>
        <option value={2}>two half batches: one computes while the other's rows travel</option>
        <option value={1}>one whole batch</option>
      </select>
    </label>
    <label class="busiest"><span>EP's busiest rank has <output for="busiest">{timesText(together.value.busiest)}</output> the average tokens</span>
      <input id="busiest" type="range" min={1} max={3} step={0.1} value={together.value.busiest} aria-valuetext={timesText(together.value.busiest)}
        onInput={({ currentTarget }) => void (together.value = { ...together.value, busiest: currentTarget.valueAsNumber })} />
    </label>
  </div>
);

function Comparison() {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(keepComparing, []);
  useEffect(() => effect(() => {
    const lengthMs = answer.value === null ? 1 : longestMs(answer.value.compared);
    ref.current?.style.setProperty('--at', String(Math.min(1, nowMs.value / lengthMs)));
  }), []);
  const compared = answer.value?.compared ?? [];
  return (
    <div id="comparison" ref={ref} aria-busy={!isCurrent.value}>
      {compared.map((one) => <CompareRow key={one.strategy} one={one} lengthMs={longestMs(compared)} />)}
      {compared.length > 0 && <Numbers compared={compared} />}
    </div>
  );
}

export const BaselinesSection = () => (
  <section id="baselines" aria-labelledby="baselines-title">
    <h2 id="baselines-title">The same batch, shared in other ways</h2>
    <p>
      AsyncEP moves weights. The usual ways to share a model move rows of activations instead, in every layer, and compute waits for them. Here each rank gets the same {PASSES} batches as above, on the
      same machine. Each thin row is a rank; the line at the end is when the last one is done.
    </p>
    <Choices />
    <Comparison />
    <p class="faint">
      Speed is that of the strategy against AsyncEP, exposed and no work are means over the ranks. The paper's table (section 4) counts a row once for each of its experts; the simulator sends it once to each
      rank that has any of them, as this project's EP does. AsyncEP's first layer never travels. Memory is that of the whole model with this batch, on the fullest device. A pipeline with an endless stream of batches has a smaller bubble than with these.
    </p>
  </section>
);
