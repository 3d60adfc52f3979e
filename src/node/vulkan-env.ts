/**
 * What the Vulkan loader must be told before Dawn opens it. Linux only; Dawn brings its own way elsewhere.
 *
 * Two things happen here. The list of drivers gains SwiftShader, so that a machine has a software adapter even without
 * Mesa, and a second one to test against with it. And where the system has no `libvulkan.so.1`, the loader that came
 * with SwiftShader is opened first: Dawn asks for the library by its soname and is then given the one already there.
 * (LD_LIBRARY_PATH would have to be set before the process starts; this works from inside.)
 */
import { existsSync, readdirSync } from 'node:fs';
import { constants, homedir, platform, tmpdir } from 'node:os';
import { join } from 'node:path';
import { swiftShaderDir } from './cache-dir.ts';

const SWIFTSHADER_ICD = 'vk_swiftshader_icd.json';

/** Keep the library when Node closes it again because it is no addon (glibc's value; Node has no name for it). */
const RTLD_NODELETE = 0x1000;

/** Folders that may hold SwiftShader, the pinned one of the set-up first, then those of installed browsers. */
const swiftShaderFolders = (): string[] => [
  swiftShaderDir(),
  '/usr/lib/chromium',
  '/usr/lib64/chromium-browser',
  '/usr/lib/chromium-browser',
  '/opt/google/chrome',
];

/**
 * SwiftShader's ICD manifest, if there is one on this machine.
 * `ASYNCEP_SWIFTSHADER` names a manifest instead, or `off` to hide SwiftShader.
 */
export function findSwiftShader(): string | undefined {
  const wanted = process.env['ASYNCEP_SWIFTSHADER'];
  if (wanted === 'off') return undefined;
  if (wanted) return wanted;
  return swiftShaderFolders().map((folder) => join(folder, SWIFTSHADER_ICD)).find((file) => existsSync(file));
}

/** Driver manifests where the loader looks for them by itself, in its order. */
export function systemDrivers(): string[] {
  const { XDG_CONFIG_HOME, XDG_CONFIG_DIRS, XDG_DATA_HOME, XDG_DATA_DIRS } = process.env;
  const roots = [
    XDG_CONFIG_HOME || join(homedir(), '.config'),
    ...(XDG_CONFIG_DIRS || '/etc/xdg').split(':'),
    '/etc',
    XDG_DATA_HOME || join(homedir(), '.local/share'),
    ...(XDG_DATA_DIRS || '/usr/local/share:/usr/share').split(':'),
  ];
  const folders = [...new Set(roots.filter(Boolean))].map((root) => join(root, 'vulkan/icd.d'));
  return folders.flatMap((folder) => manifestsIn(folder));
}

function manifestsIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((file) => file.endsWith('.json')).toSorted().map((file) => join(folder, file));
  } catch {
    return []; // absent or unreadable: the loader skips it too
  }
}

/** Drivers for the loader: those the user named, else the system's; then SwiftShader. */
function driverList(): string {
  const named = process.env['VK_DRIVER_FILES'] || process.env['VK_ICD_FILENAMES'];
  const drivers = named ? named.split(':') : systemDrivers();
  const swiftShader = findSwiftShader();
  if (swiftShader !== undefined && !drivers.includes(swiftShader)) drivers.push(swiftShader);
  return drivers.join(':');
}

/** Opens a library so that it stays; true when the dynamic linker found it. */
function keepLibrary(path: string): boolean {
  try {
    process.dlopen({ exports: {} }, path, constants.dlopen.RTLD_NOW | RTLD_NODELETE);
    return true;
  } catch (error) {
    return /self-register/.test(String(error)); // opened, and merely no Node addon
  }
}

let vulkanLoader: string | undefined;

/** Where the Vulkan loader comes from: `system`, a path, or `none`; undefined before {@link prepareVulkan} or off Linux. */
export const vulkanLoaderSource = (): string | undefined => vulkanLoader;

function openLoader(): string {
  if (keepLibrary('libvulkan.so.1')) return 'system';
  const files = swiftShaderFolders().map((folder) => join(folder, 'libvulkan.so.1'));
  return files.find((file) => existsSync(file) && keepLibrary(file)) ?? 'none';
}

/** Sets the environment of this process (and of its children) for Vulkan. Call before Dawn's `create`; later calls do nothing. */
export function prepareVulkan(): void {
  if (platform() !== 'linux' || vulkanLoader !== undefined) return;
  process.env['XDG_RUNTIME_DIR'] ??= tmpdir(); // Mesa complains on stderr when it is unset
  const drivers = driverList();
  if (drivers !== '') {
    process.env['VK_DRIVER_FILES'] = drivers;
    process.env['VK_ICD_FILENAMES'] = drivers; // the name that loaders before 1.3.207 know
  }
  vulkanLoader = openLoader();
}
