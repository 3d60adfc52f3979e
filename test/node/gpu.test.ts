import { describe, expect, it } from 'vitest';
import { isDriverNoise, listAdapters, openGpu } from '../../src/node/gpu.ts';
import { waitFor } from '../../src/node/pacing.ts';

const adapters = await listAdapters();

describe('listAdapters', () => {
  it('finds at least one adapter, GPUs before software', () => {
    expect(adapters.length).toBeGreaterThan(0);
    const kinds = adapters.map(({ software }) => Number(software));
    expect(kinds).toEqual(kinds.toSorted());
  });
});

describe('openGpu', () => {
  it('opens the preferred adapter when none is named', async () => {
    const opened = await openGpu();
    expect(opened.name).toBe(adapters[0]?.name);
    opened.close();
  });

  it.each(adapters.map(({ name }) => name))('opens %s by a part of its name in any case', async (name) => {
    const opened = await openGpu(name.slice(0, 8).toUpperCase());
    expect(opened.name).toBe(name);
    const device = await waitFor(opened)(opened.adapter.requestDevice());
    expect(device.limits.maxBufferSize).toBeGreaterThan(0);
    device.destroy();
    opened.close();
  });

  it('opens an adapter by its vendor', async () => {
    const [first] = adapters;
    const opened = await openGpu(first?.name);
    const { vendor } = opened.adapter.info;
    opened.close();
    const again = await openGpu(vendor);
    expect(again.adapter.info.vendor).toBe(vendor);
    again.close();
  });

  it('names the adapters there are when it is asked for another', async () => {
    const names = adapters.map(({ name }) => name).join(', ');
    await expect(openGpu('no such card')).rejects.toThrow(`no adapter's name contains "no such card"; this machine has: ${names}`);
    await expect(openGpu('no such card')).rejects.toMatchObject({ exitCode: 3 });
  });

  it('refuses use after close', async () => {
    const opened = await openGpu();
    opened.close();
    expect(() => opened.adapter).toThrow('this adapter was closed');
  });
});

describe('isDriverNoise', () => {
  it('knows the line about limits, and no other', () => {
    expect(isDriverNoise('Warning: maxDynamicUniformBuffersPerPipelineLayout artificially reduced from 1000000 to 16 to fit dynamic offset allocation limit.')).toBe(true);
    expect(isDriverNoise('Warning: vkCreateInstance failed with VK_ERROR_INCOMPATIBLE_DRIVER')).toBe(false);
  });
});
