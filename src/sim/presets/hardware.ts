/** Machines to plan for. Rates are dense, without structured sparsity, and links count one direction; data sheets often say twice as much. */
import { InputError } from '../../errors.ts';
import { PRECISION_BYTES, type Figure, type HardwarePreset, type Precision } from './hardware-schema.ts';

const sheet = (source: string) => (value: number): Figure => ({ value, kind: 'data sheet', source });
const measured = (value: number, source: string): Figure => ({ value, kind: 'measured', source });
const estimate = (value: number, source: string): Figure => ({ value, kind: 'estimate', source });

const a100 = sheet('NVIDIA A100 Tensor Core GPU data sheet, A100 80GB SXM, https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf');
const h100 = sheet('NVIDIA H100 Tensor Core GPU, specifications of H100 SXM (half of those with sparsity), https://www.nvidia.com/en-us/data-center/h100/');
const h200 = sheet('NVIDIA H200 Tensor Core GPU, specifications of H200 SXM (half of those with sparsity), https://www.nvidia.com/en-us/data-center/h200/');
const ada = sheet('NVIDIA Ada GPU architecture white paper, appendix A, GeForce RTX 4090, https://images.nvidia.com/aem-dam/Solutions/geforce/ada/nvidia-ada-gpu-architecture.pdf');
const radeon = sheet('AMD Radeon RX 7900 XTX specifications, https://www.amd.com/en/products/graphics/desktops/radeon/7000-series/amd-radeon-rx-7900xtx.html');
const apple = sheet('MacBook Pro (16-inch, Nov 2023) tech specs, M3 Max with 40-core GPU, https://support.apple.com/en-us/117737');

/** Middle of what the paper measured with eight devices. */
const paperMfu = measured(0.32, 'arXiv 2605.02960, section 8.5: 29.8 to 34.7 % on H100, FP8, eight devices; taken for the other precisions, too');
const paperMfuElsewhere = estimate(0.32, 'what the paper measured on H100 (29.8 to 34.7 %); nothing was measured on this device');
const nvlinkLatency = estimate(0.01, 'the start of an NCCL collective within a machine takes about 10 us');
const pcieLatency = estimate(0.02, 'two copies through host memory, about 10 us each');
const pcie4 = estimate(32e9, 'PCIe 4.0 with 16 lanes, 16 GT/s with 128b/130b coding: 31.5 GB/s in each direction; drivers reach 80 to 90 % of it');
const throughHost = estimate(16e9, 'no direct copies between devices: PCIe 4.0 with 16 lanes there and back through host memory, half of its 32 GB/s');

const nvlinkMachine = (name: string, title: string, figure: (value: number) => Figure, numbers: {
  readonly fp32: number; readonly bf16: number; readonly fp8?: number; readonly memory: number; readonly bandwidth: number; readonly link: number; readonly host: number;
}): HardwarePreset => ({
  name, title, devices: 8, mfu: paperMfu,
  flopsPerSecond: { fp32: figure(numbers.fp32), bf16: figure(numbers.bf16), ...(numbers.fp8 === undefined ? {} : { fp8: figure(numbers.fp8) }) },
  memoryBytes: figure(numbers.memory), memoryBytesPerSecond: figure(numbers.bandwidth),
  link: { bytesPerSecond: figure(numbers.link), latencyMs: nvlinkLatency },
  hostBytesPerSecond: figure(numbers.host),
});

/** The bench of whole passes that says what two cores do. */
const prefillBench = 'npm run bench:prefill, bench/results/prefill-lavapipe.txt';

export const HARDWARE_PRESETS: readonly HardwarePreset[] = [
  nvlinkMachine('a100-80', '8 x A100-80', a100, { fp32: 19.5e12, bf16: 312e12, memory: 80e9, bandwidth: 2.039e12, link: 300e9, host: 32e9 }),
  nvlinkMachine('h100-80', '8 x H100-80', h100, { fp32: 67e12, bf16: 989.5e12, fp8: 1979e12, memory: 80e9, bandwidth: 3.35e12, link: 450e9, host: 64e9 }),
  nvlinkMachine('h200-141', '8 x H200-141', h200, { fp32: 67e12, bf16: 989.5e12, fp8: 1979e12, memory: 141e9, bandwidth: 4.8e12, link: 450e9, host: 64e9 }),
  {
    name: 'rtx-4090', title: '4 x RTX 4090', devices: 4, mfu: paperMfuElsewhere,
    flopsPerSecond: { fp32: ada(82.6e12), bf16: ada(165.2e12), fp8: ada(330.3e12) },
    memoryBytes: ada(24e9), memoryBytesPerSecond: ada(1.008e12),
    link: { bytesPerSecond: throughHost, latencyMs: pcieLatency }, hostBytesPerSecond: pcie4,
  },
  {
    name: 'm3-max', title: 'M3 Max', devices: 1, mfu: paperMfuElsewhere,
    flopsPerSecond: {
      fp32: estimate(14.3e12, '40 cores x 128 lanes x 2 x 1.4 GHz; Apple publishes no rate'),
      bf16: estimate(14.3e12, 'the GPU has no faster path for 16 bits'),
    },
    memoryBytes: apple(128e9), memoryBytesPerSecond: apple(400e9), link: null,
    hostBytesPerSecond: estimate(200e9, 'one memory for both: a copy reads and writes it, half of 400 GB/s'),
  },
  {
    name: 'rx-7900-xtx', title: '4 x RX 7900 XTX', devices: 4, mfu: paperMfuElsewhere,
    flopsPerSecond: { fp32: radeon(61.4e12), bf16: radeon(122.8e12) },
    memoryBytes: radeon(24e9), memoryBytesPerSecond: radeon(960e9),
    link: { bytesPerSecond: throughHost, latencyMs: pcieLatency }, hostBytesPerSecond: pcie4,
  },
  {
    name: 'lavapipe', title: 'lavapipe on 2 cores', devices: 2,
    mfu: measured(0.85, `whole passes over the dense product alone, ${prefillBench}`),
    flopsPerSecond: {
      fp32: measured(7.15e9, `14.3 GFLOP/s with both cores, half of it for each of two ranks, ${prefillBench}`),
      bf16: measured(7.15e9, `bf16 weights are unpacked to f32, the same rate, ${prefillBench}`),
    },
    memoryBytes: estimate(12.6e9, 'half of the 25.3 GB of the machine, for each of two ranks'),
    memoryBytesPerSecond: measured(2.85e9, 'memcpy of a rank with both at work, npm run bench:collectives, bench/results/collectives.txt'),
    link: {
      bytesPerSecond: measured(1.96e9, 'gather over shared memory, GB/s a rank, npm run bench:collectives, bench/results/collectives.txt'),
      latencyMs: estimate(0.1, 'a read of a file in memory and the event loop\'s turn'),
    },
    hostBytesPerSecond: measured(2.85e9, 'memcpy of a rank, the device is the host, npm run bench:collectives, bench/results/collectives.txt'),
  },
];
export const hardwarePresetNames: readonly string[] = HARDWARE_PRESETS.map(({ name }) => name);

/** @throws InputError for a name that is none of {@link hardwarePresetNames} */
export function hardwarePreset(name: string): HardwarePreset {
  const preset = HARDWARE_PRESETS.find((known) => known.name === name);
  if (preset === undefined) throw new InputError('--hardware', name, `is unknown; expected ${hardwarePresetNames.join(', ')}, or a file of JSON`);
  return preset;
}

/** Peak FLOP/s of one device with weights of a precision: without units for it, weights are unpacked and the next wider ones compute. */
export function peakOf({ flopsPerSecond }: HardwarePreset, precision: Precision): Figure & { readonly computedAs: Precision } {
  const wider = (Object.keys(PRECISION_BYTES) as Precision[]).filter((other) => PRECISION_BYTES[other] >= PRECISION_BYTES[precision]);
  const computedAs = wider.findLast((other) => flopsPerSecond[other] !== undefined) ?? 'fp32';
  return { ...(flopsPerSecond[computedAs] as Figure), computedAs };
}
