#!/usr/bin/env node
/**
 * Prints `N passed, N failed` from the report that vitest's json reporter wrote. A test file that could not be loaded
 * counts as one failure. Exit code 1 when there is no report: the tests did not run to their end.
 *
 *     node scripts/count-tests.mjs REPORT.json
 */
import { existsSync, readFileSync } from 'node:fs';

const [file] = process.argv.slice(2);
if (file === undefined || !existsSync(file)) {
  process.stderr.write('the tests did not run: there is no report of them\n');
  process.exit(1);
}
const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(file, 'utf8'));
const unloaded = testResults.filter(({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0);
process.stdout.write(`${numPassedTests} passed, ${numFailedTests + unloaded.length} failed\n`);
