/** The teaching page, built as it is published and served as static files. */
import { existsSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, preview, type InlineConfig, type Plugin } from 'vite';

const CONFIG: InlineConfig = { configFile: fileURLToPath(new URL('../../web/learn/vite.config.ts', import.meta.url)), logLevel: 'warn' };
/** Not the root of the server: the folder is to work under any path. */
const PATH = 'under/any/path';

export interface ServedPage {
  /** Of the page, with a slash at its end. */
  readonly url: string;
  readonly origin: string;
  /** The built page. */
  readonly folder: string;
  close(): Promise<void>;
}

/** Once in a run of tests: what files before have built is copied. */
async function buildPage(folder: string): Promise<void> {
  const built = join(process.env['ASYNCEP_COMPILED'] as string, 'learn-page');
  if (!existsSync(built)) await build({ ...CONFIG, build: { outDir: built, emptyOutDir: false } });
  await cp(built, folder, { recursive: true });
}

/** @param plugins of Vite's preview server: to watch or to misbehave */
export async function servePage(plugins: readonly Plugin[] = []): Promise<ServedPage> {
  const root = await mkdtemp(join(tmpdir(), 'asyncep-learn-'));
  const folder = join(root, PATH);
  await buildPage(folder);
  const server = await preview({ ...CONFIG, plugins: [...plugins], base: '/', build: { outDir: root }, preview: { host: '127.0.0.1', port: 0, allowedHosts: true } });
  const { origin } = new URL(server.resolvedUrls?.local[0] as string);
  return {
    url: `${origin}/${PATH}/`, origin, folder,
    close: async () => {
      await server.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}
