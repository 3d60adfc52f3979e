/** `asyncep timeline`: timeline files as a picture, as numbers, and as a page to look around in. */
import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { readTimelinePage } from '../node/timeline-page.ts';
import { type NamedTimeline, pageData, renderPage } from '../trace/page.ts';
import { describeTimeline } from './timeline-text.ts';
import { checkOutputFile, loadTrace } from './trace-file.ts';

const EXAMPLES = `
Compute: the device was busy with layers. Transfer: bytes were on their way to a peer, from one, or into a slot. Exposed: the rank
waited for bytes while its device computed nothing. Overlap efficiency = 1 - exposed / transfer. Bars that overlap count once.

Examples:
  $ asyncep timeline trace-demo.json
  $ asyncep timeline asyncep.json ep.json --html timeline.html     # one above the other, on one time scale`;

interface TimelineFlags {
  readonly html?: string;
  readonly layers?: boolean;
}

/** Adds the command to the program. */
export function addTimeline(program: Command): void {
  program.command('timeline')
    .description('show timelines that --trace wrote')
    .argument('<trace...>', 'files of --trace')
    .option('--html <file>', 'also write a page to zoom and pan in: one file that needs nothing else')
    .option('--layers', 'the numbers of every layer, too')
    .addHelpText('after', EXAMPLES)
    .action(timeline);
}

/** The file's name; the whole path where two files have the same one. */
function labelOf(path: string, paths: readonly string[]): string {
  const name = basename(path);
  return paths.filter((other) => basename(other) === name).length > 1 ? path : name;
}

async function timeline(paths: string[], { html, layers = false }: TimelineFlags): Promise<void> {
  await checkOutputFile('--html', html);
  const timelines: NamedTimeline[] = [];
  for (const path of paths) timelines.push({ label: labelOf(path, paths), ...(await loadTrace(path)) });
  process.stdout.write(`${timelines.map((one) => describeTimeline(one, layers)).join('\n\n')}\n`);
  if (html === undefined) return;
  await writeFile(html, renderPage(readTimelinePage(), pageData(timelines)));
  process.stdout.write(`\npage  ${html} (open it in a browser)\n`);
}
