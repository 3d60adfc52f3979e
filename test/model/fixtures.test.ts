import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/model/checkpoint.ts';
import { openFolder } from '../../src/node/files.ts';
import { referenceLogits } from './reference.ts';

/** Made by tools/make_fixtures.py with transformers in float32. */
const FIXTURES = fileURLToPath(new URL('../fixtures/', import.meta.url));
interface Case { readonly name: string; readonly tokens: readonly number[]; readonly logits: string }

const folders = readdirSync(FIXTURES).filter((name) => existsSync(`${FIXTURES}${name}/config.json`));
/** The reference is slow: prompts of a few tokens. */
const shortCases = (name: string): Case[] =>
  (JSON.parse(readFileSync(`${FIXTURES}${name}/cases.json`, 'utf8')) as { cases: Case[] }).cases.filter(({ tokens }) => tokens.length <= 20);

describe('checkpoints that transformers computed', () => {
  it('are here', () => {
    expect(folders.flatMap(shortCases).length).toBeGreaterThan(20);
  });

  // Loading and formulas, apart from any kernel: float64 from the weights that the checkpoint gives.
  it.each(folders)('%s gives the same logits in float64', async (name) => {
    const weights = await openCheckpoint(await openFolder(FIXTURES + name));
    for (const { tokens, logits } of shortCases(name)) {
      const expected = new Float32Array(Uint8Array.from(atob(logits), (character) => character.charCodeAt(0)).buffer);
      const found = await referenceLogits(weights, tokens);
      const error = Math.hypot(...found.map((value, i) => value - expected[i]!)) / Math.hypot(...expected);
      expect(found.length).toBe(expected.length);
      expect(error).toBeLessThan(5e-6);
    }
    await weights.close();
  });
});
