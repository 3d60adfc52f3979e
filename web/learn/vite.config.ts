/**
 * The page that runs the demo model in a browser tab. `npm run build:learn` writes `dist/`: a folder of static files, the model's
 * (`publicDir`) among them, for any server that answers range requests, under any path, without a network beyond it.
 */
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

/** Vite would put an empty module in place of one of Node's, and the page would fail where it is used. */
const refuseNode: Plugin = {
  name: 'refuse-node',
  enforce: 'pre',
  resolveId(id, importer) {
    if (id.startsWith('node:')) this.error(`${importer ?? 'the page'} imports ${id}; what a page pulls in must run in a browser`);
  },
};

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: './',
  // A file that is not there is an answer of 404, not the page once more.
  appType: 'mpa',
  publicDir: fileURLToPath(new URL('../../models', import.meta.url)),
  build: { target: 'es2023' },
  plugins: [refuseNode],
  worker: { format: 'es', plugins: () => [refuseNode] },
});
