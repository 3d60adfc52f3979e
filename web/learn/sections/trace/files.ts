/** Trace files, dropped or chosen or named in the page's address: read here, sent nowhere. */
import { signal } from '@preact/signals';
import { InputError } from '../../../../src/errors.ts';
import { showRun } from './runs.ts';

/** What is wrong with the last files; null: nothing. */
export const fileProblem = signal<string | null>(null);

/** Some millions of events; a browser's longest string is not much longer. */
const MOST_BYTES = 400 * 2 ** 20;

function parseJson(text: string, source: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InputError(source, '', `is not valid JSON (${(error as Error).message}); expected a timeline that asyncep wrote with --trace`);
  }
}

/** @throws InputError naming file, field and what was expected */
async function showTrace(source: string, read: () => Promise<string>): Promise<void> {
  const { readTrace } = await import('../../../../src/trace/read-trace.ts');
  const { events } = readTrace(parseJson(await read(), source), source);
  showRun({ label: source, events: events.toSorted((a, b) => a.startUs - b.startUs) });
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** One after the other: the last good one is shown, and every wrong one is told of. */
export async function openFiles(files: Iterable<File>): Promise<void> {
  const problems: string[] = [];
  for (const file of files) {
    try {
      if (file.size > MOST_BYTES) throw new InputError(file.name, '', `has ${Math.round(file.size / 2 ** 20)} MiB; expected at most ${MOST_BYTES / 2 ** 20} MiB`);
      await showTrace(file.name, () => file.text());
    } catch (error) {
      problems.push(messageOf(error));
    }
  }
  fileProblem.value = problems.length === 0 ? null : problems.join('\n');
}

/** A trace may be large, a link slow. */
const FETCH_MS = 60_000;

/** The trace beside this page that its address names, `?trace=FILE`: how `asyncep learn --trace` shows one. */
export async function openNamedTrace(): Promise<void> {
  const path = new URLSearchParams(location.search).get('trace');
  if (path === null) return;
  try {
    const { href } = new URL(path, document.baseURI);
    const name = decodeURIComponent(href.slice(href.lastIndexOf('/') + 1));
    await showTrace(name, async () => {
      const response = await fetch(href, { signal: AbortSignal.timeout(FETCH_MS) });
      if (!response.ok) throw new InputError(name, '', `cannot be fetched (status ${response.status}); expected a file beside this page`);
      return response.text();
    });
  } catch (error) {
    fileProblem.value = messageOf(error);
  }
}
