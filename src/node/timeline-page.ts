/** The page of timelines, read from this package's `web/timeline/` folder. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PageParts } from '../trace/page.ts';
import { packageRoot } from './shaders.ts';

const FOLDER = join(packageRoot, 'web', 'timeline');

/** Each after those it imports. */
const MODULES = ['scale.js', 'bars.js', 'draw.js', 'tables.js', 'view.js', 'pointer.js', 'keyboard.js', 'page.js'];

const read = (name: string): string => readFileSync(join(FOLDER, name), 'utf8');

/** Template, style and scripts as text. */
export const readTimelinePage = (): PageParts => ({ html: read('page.html'), style: read('page.css'), scripts: MODULES.map(read) });
