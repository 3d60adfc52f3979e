/** Where this user's cached things live: tuning results, a software driver fetched by the set-up. */
import { homedir, platform } from 'node:os';
import { join } from 'node:path';

function cacheRoot(): string {
  const { ASYNCEP_CACHE_DIR, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (ASYNCEP_CACHE_DIR) return ASYNCEP_CACHE_DIR;
  if (XDG_CACHE_HOME) return join(XDG_CACHE_HOME, 'asyncep');
  if (platform() === 'darwin') return join(homedir(), 'Library', 'Caches', 'asyncep');
  if (platform() === 'win32' && LOCALAPPDATA) return join(LOCALAPPDATA, 'asyncep', 'cache');
  return join(homedir(), '.cache', 'asyncep');
}

/**
 * Path inside the per-user cache folder (`ASYNCEP_CACHE_DIR`, else the platform's own convention, `~/.cache/asyncep` on Linux).
 * Nothing is created; whoever writes makes the folder.
 */
export const cacheDir = (...parts: string[]): string => join(cacheRoot(), ...parts);

/** Folder in which the set-up keeps SwiftShader: its ICD manifest, the driver, and a Vulkan loader. */
export const swiftShaderDir = (): string => cacheDir('swiftshader');
