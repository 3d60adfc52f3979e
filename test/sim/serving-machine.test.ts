import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { presetConfig } from '../../src/model/presets.ts';
import { hardwareOf } from '../../src/sim/hardware.ts';
import { machineOf, type MachineOptions } from '../../src/sim/serving/machine.ts';

/** 128 experts of three matrices of 4096 x 1536. */
const LAYER_PARAMETERS = 128 * 3 * 4096 * 1536;
const options: MachineOptions = {
  hardware: hardwareOf('8xh100-fp8'), config: presetConfig('qwen3-235b-a22b'), strategy: 'asyncep', ranks: 8, cacheTokens: 131_072, batchTokens: 65_536, gamma: 1.2, saturation: 'peak',
};

describe('the machine of simulated engines', () => {
  it('gathers seven eighths of a layer over the link, and T is what the peak computes meanwhile, for all layers', () => {
    const { gatherMs, threshold, flopsPerSecond, moeLayers } = machineOf(options);
    const seconds = (LAYER_PARAMETERS * 7) / 8 / 450e9;
    expect(gatherMs).toBeCloseTo(seconds * 1000, 9);
    expect(threshold / (94 * seconds * 1979e12 * 1.2)).toBeCloseTo(1, 12);
    expect([moeLayers, flopsPerSecond]).toEqual([94, 0.32 * 1979e12]);
  });

  it('that cannot hold the model streams a shard of each layer from host memory', () => {
    for (const ranks of [1, 2, 4]) expect(machineOf({ ...options, ranks }).gatherMs).toBeCloseTo((LAYER_PARAMETERS / ranks / 64e9) * 1000, 9);
    expect(machineOf({ ...options, hardware: hardwareOf('8xh200-fp8'), ranks: 4 }).gatherMs).toBeCloseTo(((LAYER_PARAMETERS * 3) / 4 / 450e9) * 1000, 9);
  });

  it('says when the cache alone is too large', () => {
    expect(machineOf({ ...options, cacheTokens: 2 ** 21 }).lines[0]).toMatch(/GB\/s; and yet such a cache fits on no such device$/);
  });

  it('has a T by the rate that kernels reach, or by the one that is given', () => {
    const peak = machineOf(options).threshold;
    expect(machineOf({ ...options, saturation: 'measured' }).threshold / peak).toBeCloseTo(0.32, 12);
    expect(machineOf({ ...options, saturation: { flopsPerSecond: 1979e11 } }).threshold / peak).toBeCloseTo(0.1, 12);
  });

  it('takes t_EP as it is given', () => {
    expect(machineOf({ ...options, gatherMs: 0 })).toMatchObject({ gatherMs: 0, threshold: 0 });
  });

  it.each(['ep', 'dp-tp', 'tp-ep', 'tp', 'pp'] as const)('under %s gathers nothing and keeps no prefixes: T is 0 where an eighth of the experts fits', (strategy) => {
    const { gatherMs, threshold, engines, lines } = machineOf({ ...options, strategy, cacheTokens: 2 ** 30 });
    expect([gatherMs, threshold, engines]).toEqual([0, 0, strategy === 'ep' || strategy === 'dp-tp' ? 8 : 1]);
    expect(lines[0]).toMatch(/^memory of a device: weights \d+\.\d GB fit in 0\.9 x 80\.0 GB$/);
    expect(() => machineOf({ ...options, strategy, gatherMs: 1 })).toThrow(`--gather-ms: no experts are gathered under ${strategy}; expected --strategy asyncep or sync`);
  });

  it('refuses resident where not all experts fit', () => {
    expect(() => machineOf({ ...options, strategy: 'resident' })).toThrow(/^--strategy: resident: keeps all experts on each device: weights 2\d\d\.\d GB \+ .* do not fit in 0\.9 x 80\.0 GB; expected another strategy/);
    expect(machineOf({ ...options, strategy: 'resident', config: presetConfig('qwen3-30b-a3b') })).toMatchObject({ gatherMs: 0, threshold: 0, engines: 8 });
  });

  it('refuses a gamma below 1', () => {
    expect(() => machineOf({ ...options, gamma: 0.9 })).toThrow(InputError);
  });

  it('shows its arithmetic', () => {
    expect(machineOf(options).lines).toEqual([
      'memory of a device: weights 43.3 GB + 131,072 tokens of keys and values in 16 bits 25.2 GB fit in 0.9 x 80.0 GB',
      expect.stringContaining('t_EP = 4.70 ms (gather); T = 94 MoE layers x 4.7 ms x 1.98 PFLOP/s (peak) x 1.2 = 1.05 PFLOP'),
    ]);
    expect(machineOf({ ...options, ranks: 4 }).lines[0]).toBe(
      'memory of a device: weights 71.4 GB + 131,072 tokens of keys and values in 16 bits 25.2 GB do not fit in 0.9 x 80.0 GB: experts stream from host memory, 0.6 GB a layer at 64.0 GB/s',
    );
  });
});
