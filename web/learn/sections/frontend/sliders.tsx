/** The choice of the scheduler, and the sliders. */
import { SCHEDULERS, type SchedulerKind } from '../../../../src/serving/scheduling.ts';
import { MOST_PREFIXES } from './arrivals.ts';
import { FLOPS_PER_SECOND, PREFIX_BLOCKS } from './scene.ts';
import { change, choose, frontendSettings, run, type OwnSettings } from './state.ts';

/** What each scheduler is called and does. */
export const SCHEDULER_TEXTS: Readonly<Record<SchedulerKind, { readonly title: string; readonly does: string }>> = {
  prefix: { title: 'prefix', does: 'The paper\'s: the longest known prefix among the engines below T; a batch leaves at T.' },
  grouped: { title: 'grouped', does: 'The same, but a request also calls its siblings out of the queue to its engine. It differs when many wait: raise the arrivals.' },
  'least-loaded': { title: 'least loaded', does: 'vLLM\'s: the engine with the fewest requests (waiting x 4 + running). It looks at no prefix and knows no T.' },
  'shortest-prefill-first': { title: 'shortest prefill first', does: 'PrefillOnly\'s: spread as by “least loaded”; each engine takes what it has least to compute of first.' },
  random: { title: 'random', does: 'Any engine, by lot.' },
};

interface SliderSpec {
  readonly name: keyof OwnSettings;
  readonly label: string;
  readonly least: number;
  readonly most: number;
  readonly step: number;
  readonly text: (value: number) => string;
}

const percent = (share: number): string => `${Math.round(100 * share)} %`;

function arrivalsText(load: number): string {
  return `${Math.round(1000 / run.value.scene.gapMs)} a second: ${load.toFixed(1)} x what ${frontendSettings.value.engines} engines can do without a cache`;
}

const milliseconds = (requests: number): string => `${requests} whole requests, ${Math.round((run.value.scene.threshold / FLOPS_PER_SECOND) * 1000)} ms of compute`;

const SLIDERS: readonly SliderSpec[] = [
  { name: 'engines', label: 'Engines', least: 2, most: 6, step: 1, text: String },
  { name: 'load', label: 'Arrivals', least: 0.5, most: 6, step: 0.25, text: arrivalsText },
  { name: 'prefixes', label: 'Different prefixes', least: 1, most: MOST_PREFIXES, step: 1, text: String },
  { name: 'hotShare', label: 'Share of prefix A', least: 0, most: 0.9, step: 0.05, text: (share) => percent(Math.max(share, 1 / frontendSettings.value.prefixes)) },
  { name: 'thresholdRequests', label: 'Threshold T', least: 1, most: 8, step: 1, text: milliseconds },
  { name: 'cacheBlocks', label: 'Cache of an engine', least: 16, most: 160, step: PREFIX_BLOCKS, text: (blocks) => `${blocks} blocks: ${blocks / PREFIX_BLOCKS} prefixes and nothing else` },
];

function Slider({ name, label, least, most, step, text }: SliderSpec) {
  const value = frontendSettings.value[name];
  return (
    <div class="dial">
      <label for={`frontend-${name}`}>{label}</label>
      <input
        id={`frontend-${name}`} type="range" min={least} max={most} step={step} value={value} aria-valuetext={text(value)}
        onInput={({ currentTarget }) => change({ [name]: Number(currentTarget.value) })}
      />
      <output for={`frontend-${name}`}>{text(value)}</output>
    </div>
  );
}

export const Sliders = () => <div class="dials">{SLIDERS.map((spec) => <Slider key={spec.name} {...spec} />)}</div>;

export function SchedulerChoice() {
  const { scheduler } = frontendSettings.value;
  return (
    <fieldset class="choice">
      <legend>Scheduler</legend>
      {SCHEDULERS.map((kind) => (
        <label key={kind}>
          <input type="radio" name="frontend-scheduler" value={kind} checked={kind === scheduler} onChange={() => choose(kind)} />
          {SCHEDULER_TEXTS[kind].title}
        </label>
      ))}
      <p class="faint">{SCHEDULER_TEXTS[scheduler].does}</p>
    </fieldset>
  );
}
