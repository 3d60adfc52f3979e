import { describe, expect, it } from 'vitest';
import { presetConfig } from '../../src/model/presets.ts';
import { bytesPerFlop, HARDWARE, hardwareNames, hardwareOf, paperLink } from '../../src/sim/hardware.ts';
import { smallConfig } from './small-config.ts';

const qwen = presetConfig('qwen3-235b-a22b');

describe('the link of the paper', () => {
  it('knows the four machines by their data sheets', () => {
    expect(hardwareNames).toEqual(['8xa100-bf16', '8xh100-bf16', '8xh100-fp8', '8xh200-fp8']);
    expect(hardwareNames.map((name) => bytesPerFlop(hardwareOf(name)))).toEqual(
      [300e9 / (0.32 * 312e12), 450e9 / (0.32 * 989.5e12), 450e9 / (0.32 * 1979e12), 450e9 / (0.32 * 1979e12)]);
  });

  it('holds bytes per FLOP, less what fewer ranks gather', () => {
    const link = paperLink(hardwareOf('8xa100-bf16'), { ranks: 2, flopsPerSecond: 12e9, config: smallConfig(), weightBytes: 2 }, qwen);
    // 300e9 / (0.32 x 312e12) x 12e9 = 36.058e6; x (1/2) / (7/8) = 20.604e6
    expect(link.bytesPerSecond).toBeCloseTo((300 / (0.32 * 312e3)) * 12e9 * (4 / 7), 3);
    expect((link.bytesPerSecond as number) / 1e6).toBeCloseTo(20.604, 3);
  });

  it('is that of the machine itself with its own rate and eight ranks', () => {
    const hardware = hardwareOf('8xh100-fp8');
    const { bytesPerSecond } = paperLink(hardware, { ranks: 8, flopsPerSecond: 0.32 * 1979e12, config: qwen, weightBytes: 1 }, qwen);
    expect(bytesPerSecond).toBeCloseTo(450e9, 0);
  });

  it('needs no link for one rank', () => {
    expect(paperLink(hardwareOf('8xh200-fp8'), { ranks: 1, flopsPerSecond: 1e9, config: smallConfig(), weightBytes: 2 }, qwen).bytesPerSecond).toBeNull();
  });

  it('prints its arithmetic with all numbers', () => {
    const { lines } = paperLink(hardwareOf('8xh100-fp8'), { ranks: 2, flopsPerSecond: 12e9, config: smallConfig(), weightBytes: 2 }, qwen);
    expect(lines).toMatchInlineSnapshot(`
      [
        "8 x H100-80 FP8: r = 450 GB/s / (0.32 x 1979 TFLOP/s) = 0.7106 bytes per kFLOP",
        "B' = r x F x ((P-1)/P) / (7/8) = 0.7106 bytes/kFLOP x 12 GFLOP/s a rank x (1/2) / (7/8) = 4.873 MB/s in each direction",
        "a weight: 2 bytes on the wire here, 1 there (FP8); a gather weighs 2 times as much here",
        "a layer's gather is hidden from 3876 tokens a rank here, from 6676 there with Qwen3-235B-A22B (attention to other tokens not counted)",
      ]
    `);
  });

  it('prints from how many tokens a gather is hidden', () => {
    // Qwen3-235B on 8 x H100 FP8: 7/8 x 2.416e9 bytes at 450 GB/s take 4.70 ms; a token's layer is 446 MFLOP (projections 142.6, router 1.0, experts 302.0).
    const tokenFlops = 4 * 4096 * (64 + 4) * 128 + 2 * 4096 * 128 + 6 * 8 * 4096 * 1536;
    const tokens = ((7 / 8) * 3 * 128 * 4096 * 1536 / 450e9) * 0.32 * 1979e12 / tokenFlops;
    const { lines } = paperLink(HARDWARE['8xh100-fp8'] as never, { ranks: 2, flopsPerSecond: 12e9, config: smallConfig(), weightBytes: 2 }, qwen);
    expect(lines.at(-1)).toContain(`from ${Math.round(tokens)} there`);
  });

  it('an unknown machine is refused with those there are', () => {
    expect(() => hardwareOf('8xb200')).toThrow('--link: paper:8xb200: is unknown; expected paper: with 8xa100-bf16, 8xh100-bf16, 8xh100-fp8, 8xh200-fp8');
  });
});
