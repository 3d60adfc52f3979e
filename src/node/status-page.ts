/** The status page, read from this package's `web/` folder; it draws its timeline by the modules of the timeline page. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { joinPage } from '../trace/page.ts';
import { packageRoot } from './shaders.ts';

/** Each after those it imports. */
const MODULES = [
  'timeline/scale.js', 'timeline/bars.js', 'timeline/draw.js', 'timeline/tables.js',
  'status/numbers.js', 'status/connection.js', 'status/overview.js', 'status/ranks.js', 'status/passes.js', 'status/lanes.js', 'status/page.js',
];

const read = (name: string): string => readFileSync(join(packageRoot, 'web', name), 'utf8');

/** The whole page as text. */
export const readStatusPage = (): string =>
  joinPage({ html: read('status/page.html'), style: `${read('timeline/page.css')}\n${read('status/page.css')}`, scripts: MODULES.map(read) });
