import { describe, expect, it } from 'vitest';
import { barsOfParts, lineChart } from '../../src/cli/charts.ts';
import { escapeHtml, htmlPageOf, htmlTable } from '../../src/cli/html-page.ts';

const named = { id: 'c', title: 'A <chart>', description: 'x & y' };
const x = { label: 'tokens', values: [512, 1024, 2048, 4096, 8192], text: String };

describe('lines', () => {
  const chart = lineChart({
    ...named, x, y: { label: 'ms', logarithmic: true, text: String }, lines: [{ name: 'one', look: 0, values: [1, 2, 4, 8, 16] }, { name: 'flat', look: 1, values: [4, 4, 4, 4, 4] }],
    limits: [{ name: 'limit', y: 4 }], dots: [{ look: 0, x: 2048, y: 4, name: 'here they meet' }],
  });
  const points = [...chart.matchAll(/ d="([^"]*)"/g)].map(([, d]) => (d as string).slice(1).split('L').map((point) => point.split(' ').map(Number) as [number, number]));

  it('what doubles with its x is straight on two logarithmic axes, at equal steps', () => {
    const steps = points[0]?.slice(1).map(([right, up], i) => [right - (points[0]?.[i]?.[0] as number), up - (points[0]?.[i]?.[1] as number)]) as [number, number][];
    for (const [right, up] of steps) {
      expect(right).toBeCloseTo((760 - 24 - 78) / 4, 0);
      expect(up).toBeCloseTo(-(340 - 48 - 14) / 4, 0);
    }
  });

  it('a dot is where its lines meet, on the limit', () => {
    const [, cx, cy] = /<circle [^>]*cx="([\d.]+)" cy="([\d.]+)"/.exec(chart) as unknown as [string, string, string];
    expect([Number(cx), Number(cy)]).toEqual(points[0]?.[2]);
    expect(chart).toContain(`y1="${cy}" y2="${cy}"/><text`);
  });

  it('says in words what it shows', () => {
    expect(chart).toContain('role="img" aria-labelledby="c-title c-text"><title id="c-title">A &lt;chart&gt;</title><desc id="c-text">x &amp; y</desc>');
  });
});

describe('bars', () => {
  it('of parts stand one behind the other, in proportion, and end where the chart is cut', () => {
    const chart = barsOfParts({
      ...named, most: 100, limit: { name: 'usable', value: 50 },
      bars: [{ name: 'a', label: '30', parts: [{ look: 0, value: 10 }, { look: 1, value: 0 }, { look: 2, value: 20 }] }, { name: 'b', label: '400', parts: [{ look: 0, value: 400 }] }, { name: 'c', label: '', parts: 'cannot' }],
    });
    const rects = [...chart.matchAll(/<rect x="([\d.]+)"[^>]* width="([\d.]+)"/g)].map(([, left, width]) => [Number(left), Number(width)]);
    expect(rects).toEqual([[90, 46], [136, 92], [90, 460]]);
    expect(chart).toContain('<line class="limit" x1="320.0"');
    expect(chart).toContain('>cannot</text>');
  });
});

describe('a page', () => {
  it('fetches nothing, and is told to refuse it', () => {
    const page = htmlPageOf({ title: 't', heading: 'h & h', body: '<p>b</p>' });
    expect(page).not.toMatch(/https?:|<script|<link|@import|url\(|src=/);
    expect(page).toContain('content="default-src \'none\'; style-src \'unsafe-inline\'"');
    expect(page).toContain('<h1>h &amp; h</h1>');
  });

  it('has tables whose rows and columns have headings', () => {
    const table = htmlTable({ head: ['name', 'value'], rows: [['<a>', '1']] }, 'what');
    expect(table).toContain('<th scope="col">value</th>');
    expect(table).toContain('<tr><th scope="row">&lt;a&gt;</th><td>1</td></tr>');
    expect(escapeHtml('"\'&<>')).toBe('&quot;&#39;&amp;&lt;&gt;');
  });
});
