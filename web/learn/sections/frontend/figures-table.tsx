/** The figures of this run so far, and of whole runs with each scheduler. */
import { allFigures, figuresSoFar, frontendSettings, run, view } from './state.ts';
import type { FrontendFigures } from './figures.ts';
import { SCHEDULER_TEXTS } from './sliders.tsx';

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** Columns of the table, and what is counted so far. */
const COLUMNS: readonly { readonly key: string; readonly title: string; readonly text: (figures: FrontendFigures) => string }[] = [
  { key: 'hit-rate', title: 'hit rate', text: ({ hitRate }) => percent(hitRate) },
  { key: 'saved', title: 'saved FLOPs', text: ({ savedShare }) => percent(savedShare) },
  { key: 'below', title: 'batches below T', text: ({ belowThreshold, batches }) => `${belowThreshold} of ${batches}` },
  { key: 'exposed', title: 'waiting for experts', text: ({ exposedShare }) => percent(exposedShare) },
  { key: 'balance', title: 'balance, max / mean', text: ({ balance }) => balance.toFixed(2) },
];

export function SoFar() {
  const figures = figuresSoFar.value;
  return (
    <dl class="so-far">
      <div><dt>answered</dt><dd data-figure="answered">{view.value.answered} of {run.value.arrivals.length}</dd></div>
      {COLUMNS.map(({ key, title, text }) => <div key={key}><dt>{title}</dt><dd data-figure={key}>{figures === null ? '–' : text(figures)}</dd></div>)}
    </dl>
  );
}

export function FiguresTable() {
  const rows = allFigures.value;
  return (
    <div class="scroll" role="group" aria-label="Figures by scheduler" tabIndex={0}>
      <table>
        <caption>The same {run.value.arrivals.length} requests under each scheduler, to the end</caption>
        <thead><tr><th scope="col">scheduler</th>{COLUMNS.map(({ key, title }) => <th key={key} scope="col">{title}</th>)}<th scope="col">all answered after</th></tr></thead>
        <tbody>
          {rows.map(({ scheduler, figures }) => (
            <tr key={scheduler} data-scheduler={scheduler} aria-current={scheduler === frontendSettings.value.scheduler ? 'true' : undefined}>
              <th scope="row">{SCHEDULER_TEXTS[scheduler].title}</th>
              {COLUMNS.map(({ key, text }) => <td key={key}>{text(figures)}</td>)}
              <td>{figures.wallMs.toFixed(0)} ms</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
