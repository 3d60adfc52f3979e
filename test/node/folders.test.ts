import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cacheDir, swiftShaderDir } from '../../src/node/cache-dir.ts';
import { readShader } from '../../src/node/shaders.ts';
import { loadTuning, saveTuning } from '../../src/node/tuning-cache.ts';
import { findSwiftShader, systemDrivers } from '../../src/node/vulkan-env.ts';

let folder = '';
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'asyncep-test-')); });
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('cacheDir', () => {
  it.runIf(process.platform === 'linux')('is ~/.cache/asyncep unless told otherwise', () => {
    vi.stubEnv('ASYNCEP_CACHE_DIR', '');
    vi.stubEnv('XDG_CACHE_HOME', '');
    expect(cacheDir('a', 'b')).toBe(join(homedir(), '.cache/asyncep/a/b'));
    vi.stubEnv('XDG_CACHE_HOME', '/xdg');
    expect(cacheDir()).toBe(join('/xdg', 'asyncep'));
    vi.stubEnv('ASYNCEP_CACHE_DIR', '/own');
    expect(swiftShaderDir()).toBe(join('/own', 'swiftshader'));
  });
});

describe('readShader', () => {
  it('reads a template by name, with or without the ending, the same text each time', () => {
    const text = readShader('fill');
    expect(text).toContain('@compute');
    expect(readShader('fill.wgsl')).toBe(text);
    expect(readShader('lib/packed')).not.toBe('');
  });

  it('says which file is missing', () => {
    expect(() => readShader('no-such')).toThrow(/^shader template .*shaders.no-such\.wgsl: no such file$/);
  });
});

describe('the tuning cache', () => {
  it('gives back what was saved, and nothing before', async () => {
    vi.stubEnv('ASYNCEP_CACHE_DIR', folder);
    vi.resetModules();
    const { loadTuning: load, saveTuning: save } = await import('../../src/node/tuning-cache.ts');
    expect(await load()).toEqual({});
    await save({ 'some adapter': { tile: 16 } });
    expect(await load()).toEqual({ 'some adapter': { tile: 16 } });
  });

  it('does without when the folder cannot be written', async () => {
    writeFileSync(join(folder, 'file'), '');
    vi.stubEnv('ASYNCEP_CACHE_DIR', join(folder, 'file'));
    await expect(saveTuning({ a: 1 })).resolves.toBeUndefined();
    await expect(loadTuning()).resolves.toBeDefined();
  });
});

describe.runIf(process.platform === 'linux')('drivers of the Vulkan loader', () => {
  it('are found where the loader looks, in its order', () => {
    for (const part of ['config', 'data']) {
      mkdirSync(join(folder, part, 'vulkan/icd.d'), { recursive: true });
      writeFileSync(join(folder, part, 'vulkan/icd.d/some.json'), '{}');
    }
    vi.stubEnv('XDG_CONFIG_HOME', join(folder, 'config'));
    vi.stubEnv('XDG_DATA_DIRS', join(folder, 'data'));
    const own = systemDrivers().filter((file) => file.startsWith(folder));
    expect(own).toEqual(['config', 'data'].map((part) => join(folder, part, 'vulkan/icd.d/some.json')));
  });

  it('take SwiftShader from the cache folder first, and not at all when it is off', () => {
    vi.stubEnv('ASYNCEP_CACHE_DIR', folder);
    mkdirSync(join(folder, 'swiftshader'));
    const manifest = join(folder, 'swiftshader/vk_swiftshader_icd.json');
    writeFileSync(manifest, '{}');
    vi.stubEnv('ASYNCEP_SWIFTSHADER', '');
    expect(findSwiftShader()).toBe(manifest);
    vi.stubEnv('ASYNCEP_SWIFTSHADER', 'off');
    expect(findSwiftShader()).toBeUndefined();
    vi.stubEnv('ASYNCEP_SWIFTSHADER', '/elsewhere/icd.json');
    expect(findSwiftShader()).toBe('/elsewhere/icd.json');
  });
});
