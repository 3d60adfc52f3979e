/** The threshold's chart and the sliders' positions: where things stand, and what is there. */
import { describe, expect, it } from 'vitest';
import type { Threshold } from '../../web/learn/scenario.ts';
import { chartOf, computeLine, exposedArea, tokensAt } from '../../web/learn/sections/schedule/threshold-geometry.ts';
import { lastPosition, positionOf, RANGES, SETTING_NAMES, snap, valueAt } from '../../web/learn/settings.ts';

/** A gather of 10 ms, and compute of 1 ms for 1024 tokens: they meet at 10,240. */
const threshold: Threshold = {
  layerBytes: 1, linkMs: 10, hostMs: 0, transferMs: 10, computeMs: 1, flopsPerToken: 1, flops: 12_288, batchFlops: 1, tokens: 12_288, hiddenTokens: 10_240, exposedMs: 9,
};
const size = { width: 1000, height: 240 };
const chart = chartOf(threshold, 1024, size);

describe('the chart', () => {
  it('has the same width for every doubling, from 64 to 65,536 tokens', () => {
    expect([64, 128, 2048, 65_536].map(chart.x)).toEqual([0, 100, 500, 1000]);
  });

  it('has 0 at its foot and 2.4 gathers at its top', () => {
    expect(chart.topMs).toBe(24);
    expect([0, 6, 24].map(chart.y)).toEqual([240, 180, 0]);
  });

  it('shows compute in proportion to tokens, through the batch', () => {
    expect(chart.computeMs(1024)).toBe(1);
    expect(chart.computeMs(10_240)).toBe(10);
    const line = computeLine(chart);
    expect(line[0]).toEqual({ x: 0, y: chart.y(1 / 16) });
    expect(line.at(-1)?.x).toBe(1000);
    expect(line.every(({ y }, index) => index === 0 || y < (line[index - 1]?.y as number))).toBe(true);
  });

  it('fills what is exposed: from the left up to where compute meets the gather', () => {
    const area = exposedArea(chart, threshold);
    expect(area.startsWith('M0.0 140.0L')).toBe(true);
    expect(area.endsWith(`L${chart.x(10_240).toFixed(1)} 140.0Z`)).toBe(true);
    expect(exposedArea(chart, { ...threshold, hiddenTokens: 60 })).toBe('');
    expect(exposedArea(chartOf({ ...threshold, transferMs: 0 }, 1024, size), { ...threshold, transferMs: 0 })).toBe('');
    expect(exposedArea(chart, { ...threshold, hiddenTokens: 1e6 })).toMatch(/L1000\.0 140\.0Z$/);
  });

  it('turns a pixel into the tokens of the nearest position, also beside it', () => {
    expect([-5, 0, 500, 512, 526, 2000].map((x) => tokensAt(size, x))).toEqual([64, 64, 2048, 2048, 2560, 65_536]);
  });
});

describe('a slider', () => {
  it('has values at equal steps between doublings', () => {
    expect([0, 1, 2, 3, 4, 5].map((position) => valueAt(RANGES.tokens, position))).toEqual([64, 80, 96, 112, 128, 160]);
    expect([0, 3].map((position) => valueAt(RANGES.gamma, position))).toEqual([1, 1.15]);
  });

  it.each(SETTING_NAMES)('%s leads from its least value to its most, and back to the same position', (name) => {
    const range = RANGES[name];
    expect(valueAt(range, 0)).toBe(range.least);
    expect(valueAt(range, lastPosition(range))).toBeCloseTo(range.most, 9);
    for (let position = 0; position <= lastPosition(range); position++) expect(positionOf(range, valueAt(range, position))).toBe(position);
  });

  it('takes the nearest of its values', () => {
    expect(snap('tokens', 7945)).toBe(8192);
    expect(snap('linkBytesPerSecond', 450e9)).toBe(448e9);
  });
});
