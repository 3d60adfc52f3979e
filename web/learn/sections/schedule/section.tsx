/** The schedule of AsyncEP, drawn live. */
import { effect, untracked } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { layerColour } from '../../drawing/colours.ts';
import { momentsOf } from '../../drawing/timeline.ts';
import { msText, shareText } from '../../numbers.ts';
import { momentsMs, seek, setLength } from '../../player.ts';
import { LAYERS, MODEL_LAYERS, MODEL_TITLE, PASSES } from '../../scenario.ts';
import { drawing, exposedMs, realPass, realPasses, realRun, scenario, showPass } from '../../shown.ts';
import { NowText, Ranks } from './ranks.tsx';
import { Sliders } from './sliders.tsx';
import { ThresholdPart } from './threshold.tsx';
import { Transport } from './transport.tsx';

/** Tells the clock how long the drawing is, and where something happens in it. */
function useDrawing(): void {
  useEffect(() => effect(() => {
    const { timeline, view } = drawing.value;
    untracked(() => setLength(Math.max(view.toMs - view.fromMs, 1e-6)));
    momentsMs.value = momentsOf(timeline, view);
  }), []);
}

const Legend = () => (
  <p class="legend">
    <span><i style={{ background: layerColour(1) }} /><i style={{ background: layerColour(2) }} /><i style={{ background: layerColour(3) }} /> one colour for each layer</span>
    <span><i class="pale" style={{ background: layerColour(2) }} /> its experts on their way</span>
    <span><i style={{ background: 'var(--exposed)' }} /> exposed: the device stands still</span>
  </p>
);

function RealBar() {
  const run = realRun.value;
  if (run === null) return null;
  const passes = realPasses.value;
  return (
    <div class="real" role="group" aria-label="Real run">
      <span>A real run: <b>{run.label}</b>. The sliders set the simulation, not this.</span>
      <label>Pass{' '}
        <select value={realPass.value ?? ''} onChange={({ currentTarget: { value } }) => { showPass(value === '' ? null : Number(value)); seek(0); }}>
          <option value="">all {passes.length}</option>
          {passes.map((pass) => <option key={pass} value={pass}>{pass}</option>)}
        </select>
      </label>
      <button type="button" onClick={() => void (realRun.value = null)}>Back to the simulation</button>
    </div>
  );
}

const Readouts = () => {
  const { run } = scenario.value;
  const { view } = drawing.value;
  return (
    <dl class="readouts">
      <div><dt>{realRun.value === null ? `${PASSES} passes take` : realPass.value === null ? 'all passes take' : `pass ${realPass.value} takes`}</dt><dd id="wall-ms">{msText(view.toMs - view.fromMs)}</dd></div>
      <div data-red={exposedMs.value > 0}><dt>exposed, in red</dt><dd id="exposed-ms">{msText(exposedMs.value)}</dd></div>
      {realRun.value === null && <div><dt>of the transfers hidden</dt><dd id="efficiency">{shareText(run.summary.mean.overlapEfficiency)}</dd></div>}
      {realRun.value === null && <div><dt>of the time computing</dt><dd>{shareText(run.summary.mean.computeMs / run.wallMs)}</dd></div>}
    </dl>
  );
};

export function ScheduleSection() {
  useDrawing();
  return (
    <section id="schedule" aria-labelledby="schedule-title">
      <h2 id="schedule-title">The schedule</h2>
      <p>
        Every rank computes its own batch, layer after layer. A layer has so many experts that a device keeps only its share of them, and two <em>slots</em> for complete
        layers: while one layer computes from one slot, the experts of the next are gathered from all ranks into the other. There is one wait, at the entry of a layer.
        If the gather is done by then, nobody notices it. If not, the device stands still: that is drawn in <span class="exposed">red</span>.
      </p>
      <Sliders />
      <RealBar />
      <Readouts />
      <Transport />
      <NowText />
      <Ranks />
      <Legend />
      {realRun.value === null && <p class="faint">
        {LAYERS} of the {MODEL_LAYERS} layers of {MODEL_TITLE}, simulated. Layer 0 is on every device from the start and is never gathered; the last layer is short, because only the last token
        of each text goes through it whole. At the end of a pass the gather of the next pass's layer 1 is already on its way.
      </p>}
      <ThresholdPart />
    </section>
  );
}
