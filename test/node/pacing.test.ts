import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { pacedWait, pacingSetting, waitFor } from '../../src/node/pacing.ts';

afterEach(() => vi.unstubAllEnvs());

describe('pacedWait', () => {
  it('gives the value of the promise', async () => {
    await expect(pacedWait(sleep(5, 'value'))).resolves.toBe('value');
  });

  it('fails as the promise fails', async () => {
    await expect(pacedWait(sleep(5).then(() => { throw new Error('lost'); }))).rejects.toThrow('lost');
  });

  it('lets timers and I/O of others go on meanwhile', async () => {
    let ticks = 0;
    const timer = setInterval(() => { ticks++; }, 2);
    await pacedWait(sleep(60));
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(5);
  });

  it('leaves the core to others while it waits', async () => {
    const before = process.cpuUsage();
    await pacedWait(sleep(200));
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(120);
  });
});

describe('ASYNCEP_PACING', () => {
  it.each([['on', true, true], ['off', false, false], ['auto', true, false], ['', true, false]] as const)(
    '%s: software adapter %s, GPU %s', (setting, onSoftware, onGpu) => {
      vi.stubEnv('ASYNCEP_PACING', setting);
      expect(waitFor({ software: true }) === pacedWait).toBe(onSoftware);
      expect(waitFor({ software: false }) === pacedWait).toBe(onGpu);
    });

  it('takes anything else for auto', () => {
    vi.stubEnv('ASYNCEP_PACING', 'perhaps');
    expect(pacingSetting()).toBe('auto');
  });
});
