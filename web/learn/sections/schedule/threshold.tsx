/** The threshold as a line: when is the gather hidden, when not, and what T protects. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { flopsText, msText, shareText, timesText, tokensText } from '../../numbers.ts';
import { MODEL_LAYERS, type Threshold } from '../../scenario.ts';
import { change, lastPosition, positionOf, RANGES, settings, valueAt } from '../../settings.ts';
import { scenario } from '../../shown.ts';
import { chartOf, computeLine, exposedArea, pathOf, tokensAt, type Chart } from './threshold-geometry.ts';

const HEIGHT = 230;
const MARGIN = { left: 64, right: 14, top: 26, bottom: 40 };
/** Of the compute line's name. */
const LABEL_PIXELS = 70;
const TICKS = [64, 256, 1024, 4096, 16_384, 65_536];

/** Width of an element, as it is now. */
function useWidth() {
  const ref = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(640);
  useEffect(() => {
    const resized = new ResizeObserver(([entry]) => setWidth(Math.max(240, (entry as ResizeObserverEntry).contentRect.width)));
    resized.observe(ref.current as HTMLDivElement);
    return () => resized.disconnect();
  }, []);
  return [ref, width] as const;
}

const shortTokens = (tokens: number): string => (tokens < 1024 ? String(tokens) : `${tokens / 1024}K`);

function Axes({ chart }: { readonly chart: Chart }) {
  const { width, height } = chart;
  return (
    <g class="axes">
      <path d={`M0 0V${height}H${width}`} />
      {TICKS.map((tokens) => <text key={tokens} x={chart.x(tokens)} y={height + 17} text-anchor="middle">{shortTokens(tokens)}</text>)}
      <text x={width / 2} y={height + 35} text-anchor="middle">tokens of a batch</text>
      <text x={-8} y={4} text-anchor="end">{msText(chart.topMs)}</text>
      <text x={-8} y={height} text-anchor="end">0</text>
    </g>
  );
}

/** The two flat lines and the vertical one. */
function Lines({ chart, threshold: { transferMs, tokens }, gamma }: { readonly chart: Chart; readonly threshold: Threshold; readonly gamma: number }) {
  if (transferMs === 0) return null;
  const [flat, margin, x] = [chart.y(transferMs), chart.y(gamma * transferMs), chart.x(tokens)];
  const [isLeft, isRight] = [x < 0, x > chart.width];
  const at = Math.min(chart.width, Math.max(0, x));
  const aside = at > chart.width / 2 ? { x: 6 } : { x: chart.width - 6, 'text-anchor': 'end' } as const;
  return (
    <>
      <path class="gather" d={`M0 ${flat}H${chart.width}`} />
      <path class="margin" d={`M0 ${margin}H${chart.width}`} />
      <text class="gather" {...aside} y={flat + 16}>gather of a layer, t<tspan class="sub" dy={3}>EP</tspan></text>
      {gamma > 1 && <text class="margin" {...aside} y={margin - 6}>γ × t<tspan class="sub" dy={3}>EP</tspan></text>}
      {!isLeft && !isRight && <path class="threshold" d={`M${x} -8V${chart.height}`} />}
      <text class="threshold" x={at} y={-12} text-anchor={at > chart.width - 70 ? 'end' : at < 70 ? 'start' : 'middle'}>{isLeft && '← '}T = {tokensText(tokens)}{isRight && ' →'}</text>
    </>
  );
}

/** Names the compute line where it leaves the chart. */
function ComputeLabel({ chart }: { readonly chart: Chart }) {
  const { most } = RANGES.tokens;
  const tokens = Math.min(most, chart.topMs / chart.computeMs(1));
  const isInside = chart.x(tokens) < chart.width - LABEL_PIXELS;
  return <text class="compute" x={chart.x(tokens) + (isInside ? 8 : -8)} y={isInside ? 12 : chart.y(chart.computeMs(tokens)) - 8} text-anchor={isInside ? 'start' : 'end'}>compute</text>;
}

const move = (positions: number): void => change({ tokens: valueAt(RANGES.tokens, Math.min(lastPosition(RANGES.tokens), Math.max(0, positionOf(RANGES.tokens, settings.value.tokens) + positions))) });

const KEYS: Readonly<Record<string, () => void>> = {
  ArrowRight: () => move(1), ArrowUp: () => move(1), ArrowLeft: () => move(-1), ArrowDown: () => move(-1), PageUp: () => move(4), PageDown: () => move(-4),
  Home: () => move(-Infinity), End: () => move(Infinity),
};

/** The batch: a line that can be dragged across the threshold. */
function Handle({ chart, exposed }: { readonly chart: Chart; readonly exposed: boolean }) {
  const { tokens } = settings.value;
  const [x, y] = [chart.x(tokens), Math.max(0, chart.y(chart.computeMs(tokens)))];
  return (
    <g
      class="handle" id="batch-handle" role="slider" tabindex={0} aria-label="Tokens of a batch" aria-valuemin={RANGES.tokens.least} aria-valuemax={RANGES.tokens.most} aria-valuenow={tokens}
      aria-valuetext={`${tokensText(tokens)}, ${exposed ? 'the gather is exposed' : 'the gather is hidden'}`} data-exposed={exposed}
      onKeyDown={(event) => {
        const act = KEYS[event.key];
        if (act === undefined) return;
        event.preventDefault();
        act();
      }}
    >
      <rect class="grip" x={x - 22} y={-MARGIN.top} width={44} height={chart.height + MARGIN.top} />
      <path d={`M${x} 0V${chart.height}`} />
      <circle cx={x} cy={y} r={8} />
    </g>
  );
}

function ThresholdChart() {
  const { threshold, settings: { tokens, gamma } } = scenario.value;
  const [ref, width] = useWidth();
  const chart = chartOf(threshold, tokens, { width: width - MARGIN.left - MARGIN.right, height: HEIGHT });
  const drag = (event: PointerEvent & { readonly currentTarget: SVGSVGElement }): void => {
    if (event.buttons !== 1) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    change({ tokens: tokensAt(chart, event.clientX - event.currentTarget.getBoundingClientRect().left - MARGIN.left) });
  };
  return (
    <div class="chart" ref={ref}>
      <svg width={width} height={HEIGHT + MARGIN.top + MARGIN.bottom} onPointerDown={drag} onPointerMove={drag}>
        <g transform={`translate(${MARGIN.left} ${MARGIN.top})`}>
          <clipPath id="chart-inside"><rect width={chart.width} height={chart.height} /></clipPath>
          <Axes chart={chart} />
          <g clip-path="url(#chart-inside)">
            <path class="area" d={exposedArea(chart, threshold)} />
            <path class="compute" d={pathOf(computeLine(chart))} />
          </g>
          <ComputeLabel chart={chart} />
          <Lines chart={chart} threshold={threshold} gamma={gamma} />
          {threshold.exposedMs > 0 && <path class="exposed-now" d={`M${chart.x(tokens)} ${chart.y(threshold.transferMs)}V${chart.y(threshold.computeMs)}`} />}
          <Handle chart={chart} exposed={threshold.exposedMs > 0} />
        </g>
      </svg>
    </div>
  );
}

/** What holds now. */
function Verdict() {
  const { threshold: { transferMs, computeMs, exposedMs, tokens }, settings: { tokens: batch, gamma } } = scenario.value;
  const took = <>A layer computes for <b>{msText(computeMs)}</b>, its gather takes <b>{msText(transferMs)}</b>.</>;
  if (transferMs === 0) return <p id="verdict" data-state="nothing">One device holds all experts: nothing travels, and there is nothing to hide. With an offload window they would come from its host.</p>;
  if (exposedMs > 0) {
    return <p id="verdict" data-state="exposed">{took} Each layer waits <b class="exposed">{msText(exposedMs)}</b>, in red. A batch {timesText(tokens / batch)} as long would reach T.</p>;
  }
  if (batch < tokens) {
    return <p id="verdict" data-state="margin">{took} It is just hidden: {shareText((computeMs - transferMs) / transferMs)} to spare, less than the margin γ = {gamma.toFixed(2)} asks for. A little jitter would show.</p>;
  }
  return <p id="verdict" data-state="hidden">{took} It is <b>hidden</b>: it is there {msText(computeMs - transferMs)} before the layer begins, and no device waits.</p>;
}

export function ThresholdPart() {
  const { threshold: { flops, batchFlops, tokens } } = scenario.value;
  return (
    <div class="threshold-part" role="group" aria-labelledby="threshold-title">
      <h3 id="threshold-title">When is the gather hidden?</h3>
      <p>Drag the batch across the line. The gather takes as long for one token as for many; compute grows with the batch.</p>
      <div class="beside">
        <ThresholdChart />
        <div>
          <Verdict />
          <p>
            <b>T is what protects this.</b> It is the work of a layer that lasts as long as the slowest transfer, and a margin γ for jitter: now <b id="threshold-flops">{flopsText(flops)}</b>,
            or <b>{tokensText(tokens)}</b>. The frontend counts the FLOPs that it has given each rank and lets a batch go when they reach T
            times its {MODEL_LAYERS} layers ({flopsText(batchFlops)}), so that a batch too short to hide its gathers never starts while there is more to add.
          </p>
          <p class="faint">A slower link or more experts move the line to the right, and so does a faster device: it is done sooner, so it needs more tokens.</p>
        </div>
      </div>
    </div>
  );
}
