import { defineConfig } from 'vitest/config';

/** Tests that need neither a device nor other processes: as many files at a time as there are cores. What is not here runs alone. */
const pure = [
  'test/{model,sim}/**/*.test.ts', 'test/serving/{batch,status}/*.test.ts', 'test/serving/!(status-page).test.ts', 'test/trace/!(timeline-page).test.ts',
  'test/learn/{frontend-model,tour-steps,scenario,slots,threshold,comparison}.test.ts',
];

const common = { pool: 'forks', testTimeout: 60_000, hookTimeout: 120_000 } as const;

export default defineConfig({
  test: {
    projects: [
      { test: { ...common, name: 'pure', include: pure, sequence: { groupOrder: 0 } } },
      // Software adapters, rank processes and browsers use every core: one file at a time keeps timeouts meaningful.
      { test: { ...common, name: 'machine', include: ['test/**/*.test.ts'], exclude: pure, fileParallelism: false, globalSetup: 'test/setup/compile.ts', sequence: { groupOrder: 1 } } },
    ],
  },
});
