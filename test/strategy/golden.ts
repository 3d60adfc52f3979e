/** The golden fixtures, and how close logits must be to them. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const fixtureFolder = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

export interface GoldenCase {
  readonly tokens: Uint32Array;
  /** Of the last position, whole vocabulary. */
  readonly logits: Float32Array;
}

/** @param longest most tokens of a case: a long prompt would keep a software adapter busy for seconds */
export function goldenCases(name: string, longest: number): GoldenCase[] {
  const { cases } = JSON.parse(readFileSync(`${fixtureFolder(name)}/cases.json`, 'utf8')) as { cases: { tokens: number[]; logits: string }[] };
  return cases.filter(({ tokens }) => tokens.length <= longest).map(({ tokens, logits }) => ({
    tokens: Uint32Array.from(tokens),
    logits: new Float32Array(Uint8Array.from(Buffer.from(logits, 'base64')).buffer),
  }));
}

/** |actual - expected| / |expected|, L2. */
export function relativeError(actual: Float32Array, expected: Float32Array): number {
  let [difference, norm] = [0, 0];
  for (const [i, value] of expected.entries()) {
    difference += (value - (actual[i] as number)) ** 2;
    norm += value ** 2;
  }
  return Math.sqrt(difference / norm);
}
