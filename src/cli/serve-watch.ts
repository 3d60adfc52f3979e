/** What a command with a service notes while engines run: their timeline, and what becomes of them. */
import { writeFile } from 'node:fs/promises';
import type { EngineInfo } from '../cluster/index.ts';
import { NoEnginesError } from '../serving/requests.ts';
import { writeTrace } from '../trace/chrome-trace.ts';
import type { TraceEvent } from '../trace/events.ts';
import type { OpenService } from './serve-open.ts';

const warn = (text: string): void => void process.stderr.write(`${text}\n`);

/** Events that `--trace` writes: a server may run for months. */
const MAX_TRACE_EVENTS = 500_000;

/** @returns writes the file, if one was asked for */
export function recordTrace({ pool }: Pick<OpenService, 'pool'>, path: string | undefined): { save(): Promise<void> } {
  if (path === undefined) return { save: async () => {} };
  const events: TraceEvent[] = [];
  const end = pool.onTrace((more) => {
    events.push(...more);
    if (events.length < MAX_TRACE_EVENTS) return;
    end();
    warn(`--trace: ${events.length} events recorded, what follows is left out`);
  });
  return { save: () => writeFile(path, JSON.stringify(writeTrace(events, pool.engines.map(({ engine, adapter }) => `rank ${engine}: ${adapter}`)))) };
}

/** Rejects when no engine is left: a server that can answer nothing should end, so that who watches over it starts another. */
export function watchForEnd({ pool }: Pick<OpenService, 'pool'>): Promise<never> {
  const end = new Promise<never>((_, reject) => {
    pool.onChange((__, error) => {
      if (pool.engines.every(({ state }) => state === 'gone')) reject(new NoEnginesError(error?.message ?? 'it is gone'));
    });
  });
  end.catch(() => undefined); // told where it is awaited
  return end;
}

/** Engines that are lost and come back are told on stderr. */
export function tellChanges({ pool }: Pick<OpenService, 'pool'>): void {
  const last = new Map<number, EngineInfo['state']>();
  pool.onChange(({ engine, state, restarts }, error) => {
    if (last.get(engine) === state && error === undefined) return;
    last.set(engine, state);
    warn(`rank ${engine}: ${state}${error === undefined ? '' : ` (${error.message})`}${restarts > 0 ? `, started again ${restarts} times` : ''}`);
  });
}
