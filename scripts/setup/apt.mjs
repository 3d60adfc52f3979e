/** Packages through apt, as root on Debian and its descendants: Mesa's lavapipe, and what the tests want. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, say } from './say.mjs';

const PACKAGES = ['mesa-vulkan-drivers', 'libvulkan1'];
const SOURCES = '/etc/apt/sources.list.d';
const OUR_SOURCE = join(SOURCES, 'asyncep-backports.sources');

/** Releases whose own Mesa is too old for WebGPU's needs (f16 and subgroups in shaders): taken from backports there. */
const NEEDS_BACKPORTS = { bookworm: 'bookworm-backports' };

function osRelease() {
  if (!existsSync('/etc/os-release')) return {};
  const lines = readFileSync('/etc/os-release', 'utf8').split('\n').filter((line) => line.includes('='));
  return Object.fromEntries(lines.map((line) => {
    const [name, ...value] = line.split('=');
    return [name, value.join('=').replaceAll('"', '')];
  }));
}

/** Root, apt, and a release that apt's package names are known for. */
export function aptIsPossible() {
  const { ID = '', ID_LIKE = '' } = osRelease();
  const known = /\b(debian|ubuntu)\b/.test(`${ID} ${ID_LIKE}`);
  return process.platform === 'linux' && process.getuid() === 0 && known && existsSync('/usr/bin/apt-get');
}

export const isUbuntu = () => osRelease().ID === 'ubuntu';

/**
 * Installs packages without those that they only recommend.
 * @param from options for apt-get install, such as the release to take them from
 * @throws Error when apt fails
 */
export function aptGet(packages, from = []) {
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['update', '-q'], env);
  run('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...from, ...packages], env);
}

/** Whether some source already offers the suite; a second entry for it could contradict the first one's keys. */
function suiteIsKnown(suite) {
  const files = ['/etc/apt/sources.list', ...readdirSync(SOURCES).map((name) => join(SOURCES, name))];
  return files
    .filter((file) => /\.(list|sources)$/.test(file) && existsSync(file))
    .some((file) => readFileSync(file, 'utf8').split('\n').some((line) => !line.trim().startsWith('#') && line.includes(suite)));
}

function addBackports(suite) {
  if (suiteIsKnown(suite)) return;
  say(`adding ${suite} in ${OUR_SOURCE}`);
  writeFileSync(OUR_SOURCE, `# Written by asyncep's set-up: Mesa of ${suite}
Types: deb
URIs: http://deb.debian.org/debian
Suites: ${suite}
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`);
}

/**
 * Installs Mesa's Vulkan drivers and the loader.
 * @throws Error when apt fails; a source file that was added for it is gone then
 */
export function installMesa() {
  const release = osRelease();
  const suite = release.ID === 'debian' ? NEEDS_BACKPORTS[release.VERSION_CODENAME] : undefined;
  say(`installing ${PACKAGES.join(' and ')} with apt${suite ? ` from ${suite}` : ''}: a software adapter (lavapipe)`);
  const had = existsSync(OUR_SOURCE);
  try {
    if (suite) addBackports(suite);
    aptGet(PACKAGES, suite ? ['-t', suite] : []);
  } catch (error) {
    if (!had) rmSync(OUR_SOURCE, { force: true });
    throw error;
  }
}
