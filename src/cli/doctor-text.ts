/** The doctor's findings as a person reads them. */
import type { Findings } from '../node/machine.ts';
import type { AdapterReport } from '../node/probe.ts';
import { formatBytes } from './format.ts';
import { newTable } from './table.ts';

const yes = (has: boolean): string => (has ? 'yes' : 'no');

const laneRange = (least: number, most: number): string => (least === most ? `${least} lanes` : `${least} to ${most} lanes`);

/** Features and limits that decide which kernels run and how a slot is cut. */
const FEATURE_ROWS: readonly (readonly [string, (adapter: AdapterReport) => string])[] = [
  ['kind', ({ software }) => (software ? 'software (CPU)' : 'GPU')],
  ['backend', ({ backend }) => backend],
  ['driver', ({ description }) => description],
  ['usable', ({ problem }) => problem ?? 'yes'],
  ['shader-f16', ({ features }) => yes(features.includes('shader-f16'))],
  ['subgroups', ({ features, subgroupMinSize, subgroupMaxSize }) =>
    (features.includes('subgroups') ? laneRange(subgroupMinSize, subgroupMaxSize) : 'no')],
  ['subgroup matrices', ({ features }) => yes(features.includes('chromium-experimental-subgroup-matrix'))],
  ['timestamps', ({ features }) => yes(features.includes('timestamp-query'))],
  ['largest binding', ({ limits }) => formatBytes(limits['maxStorageBufferBindingSize'] ?? 0)],
  ['largest buffer', ({ limits }) => formatBytes(limits['maxBufferSize'] ?? 0)],
  ['workgroup memory', ({ limits }) => formatBytes(limits['maxComputeWorkgroupStorageSize'] ?? 0)],
  ['workgroup invocations', ({ limits }) => String(limits['maxComputeInvocationsPerWorkgroup'] ?? 0)],
];

function adapterTable(adapters: readonly AdapterReport[]): string {
  const table = newTable(['adapter', ...adapters.map(({ name }) => name)]);
  for (const [label, value] of FEATURE_ROWS) table.push([label, ...adapters.map(value)]);
  return table.toString();
}

function general({ versions, platform, vulkan, sharedMemory, cacheFolder }: Findings): string[] {
  const rows: [string, string][] = [
    ['asyncep', versions.asyncep],
    ['node', versions.node],
    ['webgpu', `${versions.webgpu} (Dawn)`],
    ['system', `${platform.os}, ${platform.cores} cores, ${formatBytes(platform.freeMemoryBytes)} of ${formatBytes(platform.memoryBytes)} memory free`],
    ['shared memory', `${sharedMemory.folder}: ${formatBytes(sharedMemory.freeBytes)} of ${formatBytes(sharedMemory.totalBytes)} free`],
    ['cache', cacheFolder],
    ['Vulkan loader', vulkan.loader],
    ['Vulkan drivers', vulkan.drivers.join('\n'.padEnd(17)) || 'none listed'],
  ];
  return rows.map(([label, value]) => `${label.padEnd(15)} ${value}`);
}

/** The whole report, ending with what is missing. */
export function describeFindings(findings: Findings): string {
  const adapters = findings.adapters.length === 0 ? 'no adapter' : adapterTable(findings.adapters);
  const missing = findings.missing.map(({ what, remedy }) => `missing: ${what}\n  ${remedy}`);
  return `${[...general(findings), '', adapters, '', ...(missing.length === 0 ? ['nothing is missing'] : missing)].join('\n')}\n`;
}
