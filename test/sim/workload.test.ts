import { describe, expect, it } from 'vitest';
import { namedWorkload, ownWorkload, REAL_MIX, tokensOf, WORKLOADS, type Workload } from '../../src/sim/workload.ts';

const scale = { longestContext: 4096, tokens: 32_768, seed: 1 };
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const tokensBySource = (workload: Workload, name: string): number => sum(workload.requests.filter(({ source }) => source === name).map(({ tokens }) => tokens));

describe('the real mix', () => {
  it('is the paper\'s: 73.8K requests, 37.9M tokens', () => {
    expect(sum(REAL_MIX.map(({ requests }) => requests))).toBe(73_800);
    expect(sum(REAL_MIX.map(({ tokens }) => tokens)) / 1e6).toBeCloseTo(37.9, 9);
  });

  it.each([32_768, 200_000, 1_000_000])('keeps the sources\' shares at %d tokens', (tokens) => {
    const workload = namedWorkload('mixed', { ...scale, tokens });
    expect(workload.tokens / tokens).toBeGreaterThan(0.97);
    expect(workload.tokens / tokens).toBeLessThan(1.03);
    for (const source of REAL_MIX) expect(tokensBySource(workload, source.name) / workload.tokens).toBeCloseTo(source.tokens / 37.9e6, 1.7);
  });

  it('unscaled has the paper\'s numbers to the request', () => {
    const workload = namedWorkload('mixed', { longestContext: 128 * 1024, tokens: 37.9e6, seed: 1 });
    expect([workload.contextFactor, workload.requestFactor]).toEqual([1, 1]);
    for (const { name, requests, tokens, shortest, longest } of REAL_MIX) {
      const own = workload.requests.filter(({ source }) => source === name);
      expect(own).toHaveLength(requests);
      expect(Math.abs(tokensBySource(workload, name) - tokens)).toBeLessThan(1);
      expect(Math.min(...own.map((request) => request.tokens))).toBeGreaterThanOrEqual(shortest);
      expect(Math.max(...own.map((request) => request.tokens))).toBeLessThanOrEqual(longest);
    }
  });

  it('divides all contexts by one factor and all numbers of requests by another', () => {
    const workload = namedWorkload('mixed', { ...scale, tokens: 1_000_000 });
    expect(workload.contextFactor).toBe(32);
    expect(workload.requestFactor).toBeCloseTo(37.9e6 / 32 / 1e6, 9);
    for (const { name, requests } of REAL_MIX) {
      expect(workload.requests.filter(({ source }) => source === name)).toHaveLength(Math.round(requests / workload.requestFactor));
    }
  });
});

describe('the synthetic regimes', () => {
  it.each([['short', 256, 40_960], ['medium', 4096, 2560], ['long', 32_768, 320], ['ultra', 131_072, 80]])('%s: %d tokens x %d', (name, tokens, requests) => {
    expect(WORKLOADS[name]).toMatchObject([{ shortest: tokens, longest: tokens, requests, prefixShare: 0 }]);
    expect(tokens * requests).toBe(10 * 1024 * 1024);
  });

  it('all shrink by the same factors and share no prefix', () => {
    const of = (name: string) => namedWorkload(name, scale).requests;
    expect(['short', 'medium', 'long', 'ultra'].map((name) => [of(name).length, of(name)[0]?.tokens])).toEqual([[4096, 8], [256, 128], [32, 1024], [8, 4096]]);
    expect(of('long').every(({ prefix }) => prefix === 0)).toBe(true);
  });
});

describe('tokens', () => {
  it('are the same for the same seed and others for another', () => {
    const workload = namedWorkload('mixed', scale);
    expect(namedWorkload('mixed', scale)).toEqual(workload);
    expect(namedWorkload('mixed', { ...scale, seed: 2 }).requests).not.toEqual(workload.requests);
    expect(tokensOf(workload, 3, 2048, 7)).toEqual(tokensOf(workload, 3, 2048, 7));
    const longest = workload.requests.findIndex((request) => request.tokens > 500);
    expect(tokensOf(workload, longest, 2048, 8)).not.toEqual(tokensOf(workload, longest, 2048, 7));
  });

  it('lie in the vocabulary and use all of it', () => {
    const workload = ownWorkload('own', [{ source: 'own', tokens: 5000, prefix: 0, group: 0 }]);
    const seen = new Set(tokensOf(workload, 0, 100, 1));
    expect([seen.size, Math.max(...seen)]).toEqual([100, 99]);
  });

  it('of siblings begin alike and then differ', () => {
    const workload = namedWorkload('mixed', { longestContext: 128 * 1024, tokens: 37.9e6, seed: 1 });
    const siblings = workload.requests.flatMap(({ source, group }, index) => (source === 'QuALITY' && group === workload.requests.find((r) => r.source === 'QuALITY')?.group ? [index] : []));
    expect(siblings).toHaveLength(20);
    const [a, b] = siblings.map((index) => tokensOf(workload, index, 50_000, 1)) as [Uint32Array, Uint32Array];
    const shared = a.findIndex((token, i) => token !== b[i]);
    const { prefix } = workload.requests[siblings[0] as number] as { prefix: number };
    expect(shared).toBe(prefix);
    expect(prefix / Math.min(a.length, b.length)).toBeGreaterThan(0.75);
    expect(prefix / Math.min(a.length, b.length)).toBeLessThanOrEqual(0.8);
  });

  it('of a prompt that was given are the given ones', () => {
    const given = Uint32Array.of(5, 6, 7);
    expect(tokensOf(ownWorkload('own', [{ source: 'own', tokens: 3, prefix: 0, group: 0, given }]), 0, 100, 1)).toBe(given);
  });

  it('an unknown name is refused with what there is', () => {
    expect(() => namedWorkload('many', scale)).toThrow('--workload: many: is unknown; expected mixed, short, medium, long, ultra or a file of JSON lines');
  });
});
