/** A timeline for the terminal: four layers as a picture, then the numbers. */
import type { NamedTimeline } from '../trace/page.ts';
import { drawSchedule, middleOfRun } from '../trace/picture.ts';
import { summarizeTrace, type Times } from '../trace/summary.ts';
import { formatPercent } from './format.ts';
import { newTable } from './table.ts';

const TIMES = ['compute', 'transfer', 'exposed', 'overlap efficiency'];

const formatMs = (ms: number): string => `${ms.toFixed(ms < 100 ? 2 : 1)} ms`;

const cells = ({ computeMs, transferMs, exposedMs, overlapEfficiency }: Times): string[] =>
  [formatMs(computeMs), formatMs(transferMs), formatMs(exposedMs), formatPercent(overlapEfficiency)];

/** @param layers whether a table of the layers is wanted */
export function describeTimeline({ label, events, rankNames }: NamedTimeline, layers: boolean): string {
  const summary = summarizeTrace(events);
  const ofRanks = newTable(['rank', ...TIMES]);
  for (const one of summary.ranks) ofRanks.push([rankNames.get(one.rank) ?? `rank ${one.rank}`, ...cells(one)]);
  ofRanks.push(['mean', ...cells(summary.mean)]);
  const ofLayers = newTable(['layer', ...TIMES]);
  for (const one of summary.layers) ofLayers.push([one.layer, ...cells(one)]);
  const picture = drawSchedule(events, { ...middleOfRun(events), columns: 84 });
  return [
    `${label}: ${formatMs(summary.totalMs)} from the first event to the last`,
    ...(picture === '' ? [] : ['', picture, '']),
    ofRanks.toString(),
    ...(layers ? ['the layers, mean over the ranks:', ofLayers.toString()] : []),
  ].join('\n');
}
