/**
 * SwiftShader through npm, for machines on which nothing may be installed: the package @sparticuz/chromium carries the
 * driver, a Vulkan loader and the driver's manifest in bin/swiftshader.tar.br.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { root, run, say } from './say.mjs';
import { tarFiles } from './tar.mjs';

const PACKAGE = '@sparticuz/chromium@143.0.4';
const INTEGRITY = 'sha512-/6I7uQTRhRDD2/gGPQ1Gkf+Dqk0RYDACPJDZfSzz0OWk4JmUTonNHPXbrn6UIklOHlnDLf8xAAzkOZKB/cJpLA==';
const ARCHIVE = 'package/bin/swiftshader.tar.br';
const WANTED = ['libvk_swiftshader.so', 'libvulkan.so.1', 'vk_swiftshader_icd.json'];

/** The package carries x86-64 Linux libraries only; `off` hides SwiftShader from asyncep. */
export const swiftShaderIsPossible = () =>
  process.platform === 'linux' && process.arch === 'x64' && process.env.ASYNCEP_SWIFTSHADER !== 'off';

function fetchPackage(folder) {
  run('npm', ['pack', PACKAGE, '--silent', '--pack-destination', folder]);
  const name = readdirSync(folder).find((file) => file.endsWith('.tgz'));
  if (name === undefined) throw new Error(`npm pack left no archive in ${folder}`);
  const bytes = readFileSync(join(folder, name));
  const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
  if (integrity !== INTEGRITY) throw new Error(`${PACKAGE} has the checksum ${integrity}, expected ${INTEGRITY}`);
  return bytes;
}

/** The wanted files of the archive inside the package, by name. */
function unpack(tgz) {
  const inner = tarFiles(gunzipSync(tgz)).get(ARCHIVE);
  if (inner === undefined) throw new Error(`${PACKAGE} has no ${ARCHIVE}`);
  const files = tarFiles(brotliDecompressSync(inner));
  for (const name of WANTED) if (!files.has(name)) throw new Error(`${ARCHIVE} has no ${name}`);
  return files;
}

/** Writes beside the target and renames, so that a reader never sees half a driver. */
function store(files, target) {
  mkdirSync(dirname(target), { recursive: true });
  const fresh = mkdtempSync(`${target}-`);
  for (const name of WANTED) writeFileSync(join(fresh, name), files.get(name), { mode: 0o755 });
  rmSync(target, { recursive: true, force: true });
  renameSync(fresh, target);
}

/** @throws Error when the package cannot be had, or is not the pinned one */
export async function installSwiftShader() {
  const { swiftShaderDir } = await import(join(root, 'dist/node/cache-dir.js'));
  say(`fetching SwiftShader (a software adapter) from the npm package ${PACKAGE}, 64 MB, into ${swiftShaderDir()}`);
  const folder = mkdtempSync(join(tmpdir(), 'asyncep-swiftshader-'));
  try {
    store(unpack(fetchPackage(folder)), swiftShaderDir());
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
