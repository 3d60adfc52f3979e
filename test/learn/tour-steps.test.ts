/** What the tour's steps point to. */
import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { STEPS } from '../../web/learn/sections/tour/steps.tsx';

/** Headings of the paper, as it numbers them. */
const SECTIONS = [
  '2.3 Mixture-of-Experts (MoE) Models', '3.1 Prefill-Only Workloads in Practice', '4.1 Memory Pressure', '4.3 Communication Overhead', '6.2 Asynchronous Expert Parallelism',
  '6.3 AsyncEP with Offloading and KV-Cache-Free Execution', '7 Frontend: Prefix-, Compute-, and Overlap-Aware Scheduling',
];

it('the tour has at most ten steps, each with a file of the repository and a section of the paper', () => {
  expect(STEPS.length).toBeLessThanOrEqual(10);
  for (const { file, paper } of STEPS) {
    expect(existsSync(file), file).toBe(true);
    expect(SECTIONS).toContain(paper.replace(/, equation \(1\)$/, ''));
  }
});
