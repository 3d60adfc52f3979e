/** Real runs for the drawing: chosen, or dropped anywhere on the page. */
import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { realRun } from '../../shown.ts';
import { fileProblem, openFiles, openNamedTrace } from './files.ts';
import { chooseRun, runs } from './runs.ts';

/** Files are over the page and would be taken. */
const hovering = signal(false);

const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') === true;

/** The whole page takes files: who misses a small field would leave the page for the file's text. */
function watchDrops(): () => void {
  const over = (event: DragEvent): void => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    hovering.value = true;
  };
  const leave = (event: DragEvent): void => {
    if (event.relatedTarget === null) hovering.value = false;
  };
  const drop = (event: DragEvent): void => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    hovering.value = false;
    void openFiles(event.dataTransfer?.files ?? []);
  };
  const listening = new AbortController();
  const { signal: until } = listening;
  addEventListener('dragover', over, { signal: until });
  addEventListener('dragleave', leave, { signal: until });
  addEventListener('drop', drop, { signal: until });
  return () => listening.abort();
}

const Choice = () => (
  <p>
    <label>The drawing shows{' '}
      <select id="shown-run" value={realRun.value?.label ?? ''} onChange={({ currentTarget }) => chooseRun(currentTarget.value)}>
        <option value="">the simulated schedule</option>
        {runs.value.map(({ label }) => <option key={label} value={label}>{label}</option>)}
      </select>
    </label>
  </p>
);

export function TraceSection() {
  useEffect(() => {
    void openNamedTrace();
    return watchDrops();
  }, []);
  return (
    <section id="trace" aria-labelledby="trace-title" data-hovering={hovering.value}>
      <h3 id="trace-title">A real run in the drawing</h3>
      <p>
        Every command of asyncep writes its timeline with <code>--trace FILE</code>; <code>npx asyncep demo</code> does so unasked. Drop such a file anywhere on this page, or{' '}
        <label>choose it: <input id="trace-file" type="file" accept=".json,application/json" multiple onChange={({ currentTarget }) => void openFiles(currentTarget.files ?? [])} /></label>
      </p>
      {runs.value.length > 0 && <Choice />}
      <p id="trace-problem" role="alert" hidden={fileProblem.value === null}>{fileProblem.value}</p>
    </section>
  );
}
