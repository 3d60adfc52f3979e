/** The formulas, with the numbers of the sliders. */
import type { ComponentChildren } from 'preact';
import { bytesText, flopsText, msText, shareText, tokensText } from '../../numbers.ts';
import { LATENCY_MS, MODEL_LAYERS, modelOf, WEIGHT_BYTES } from '../../scenario.ts';
import { RANGES } from '../../settings.ts';
import { scenario } from '../../shown.ts';
import { Fraction, Name, Row, Sign, Value } from './math.tsx';
import { MemoryTable, TrafficTable } from './tables.tsx';

const PAPER = 'https://arxiv.org/abs/2605.02960';

interface FormulaProps {
  readonly title: string;
  /** With names, and with numbers in their place. */
  readonly names: ComponentChildren;
  readonly numbers: ComponentChildren;
  readonly result: string;
  /** For tests and links. */
  readonly id: string;
  readonly section: string;
  readonly file: string;
  /** What the names mean. */
  readonly children: ComponentChildren;
}

const Formula = ({ title, names, numbers, result, id, section, file, children }: FormulaProps) => (
  <div class="formula" id={`formula-${id}`}>
    <h3>{title}</h3>
    <div class="lines">
      <Row>{names}</Row>
      <Row><Sign>=</Sign>{numbers}</Row>
      <output>= {result}</output>
    </div>
    <p class="faint">{children} <a href={PAPER}>Paper, {section}</a>; <code>{file}</code></p>
  </div>
);

const times = <Sign>×</Sign>;
const divided = <Sign>/</Sign>;

function LayerBytes() {
  const { settings, threshold: { layerBytes } } = scenario.value;
  const { hiddenSize, moeIntermediateSize, numExperts } = modelOf(settings);
  return (
    <Formula
      id="layer-bytes" title="Bytes of a layer's experts" section="section 4" file="src/model/flops.ts" result={bytesText(layerBytes)}
      names={<><Name of="W" /><Sign>=</Sign><Name of="E" />{times}<mn>3</mn><Name of="H" /><Name of="h" />{times}<Name of="b" /></>}
      numbers={<><Value>{numExperts}</Value>{times}<Value>3 · {hiddenSize} · {moeIntermediateSize}</Value>{times}<Value>{WEIGHT_BYTES} B</Value></>}
    >
      E experts of three matrices each, H hidden size, h width of an expert, b bytes of a weight.
    </Formula>
  );
}

function Gather() {
  const { settings: { ranks, linkBytesPerSecond, offload }, threshold: { layerBytes, linkMs } } = scenario.value;
  return (
    <Formula
      id="gather" title={offload > 0 ? 'The gather, over the link' : 'The gather'} section="section 6.2" file="src/sim/cost.ts" result={msText(linkMs)}
      names={<><Name of="t" sub={offload > 0 ? 'link' : 'EP'} /><Sign>=</Sign><Fraction above={<><Name of="P" /><Sign>−</Sign><mn>1</mn></>} below={<Name of="P" />} />{times}<Fraction above={<Name of="W" />} below={<Name of="link" />} /><Sign>+</Sign><Name of="latency" /></>}
      numbers={<><Fraction above={<mn>{ranks - 1}</mn>} below={<mn>{ranks}</mn>} />{times}<Fraction above={<Value>{bytesText(layerBytes)}</Value>} below={<Value>{RANGES.linkBytesPerSecond.text(linkBytesPerSecond)}</Value>} /><Sign>+</Sign><Value>{ranks === 1 ? 0 : LATENCY_MS} ms</Value></>}
    >
      A rank has 1 of P parts of the layer and gets the others. It does not depend on the batch.
    </Formula>
  );
}

function HostLoad() {
  const { settings: { ranks, hostBytesPerSecond, offload }, threshold: { layerBytes, linkMs, hostMs, transferMs } } = scenario.value;
  if (offload === 0) return null;
  return (
    <Formula
      id="host" title="The slower of two channels" section="section 6.3" file="src/sim/cost.ts" result={msText(transferMs)}
      names={<><Name of="t" sub="EP" /><Sign>=</Sign><mi>max</mi><Sign>(</Sign><Name of="t" sub="link" /><Sign>,</Sign><Fraction above={<Name of="W" />} below={<Name of="P" />} />{divided}<Name of="host link" /><Sign>)</Sign></>}
      numbers={<><mi>max</mi><Sign>(</Sign><Value>{msText(linkMs)}</Value><Sign>,</Sign><Fraction above={<Value>{bytesText(layerBytes)}</Value>} below={<mn>{ranks}</mn>} />{divided}<Value>{RANGES.hostBytesPerSecond.text(hostBytesPerSecond)}</Value><Sign>=</Sign><Value>{msText(hostMs)}</Value><Sign>)</Sign></>}
    >
      With offload a rank's own part comes from its host's memory, at the same time as the others' parts come over the link.
    </Formula>
  );
}

function Compute() {
  const { settings: { tokens, flopsPerSecond }, threshold: { flopsPerToken, computeMs } } = scenario.value;
  return (
    <Formula
      id="compute" title="Compute of a layer" section="section 7.3" file="src/model/flops.ts" result={msText(computeMs)}
      names={<><Name of="t" sub="C" /><Sign>=</Sign><Fraction above={<><Name of="n" />{times}<Name of="f" /></>} below={<Name of="F" />} /></>}
      numbers={<Fraction above={<><Value>{tokens.toLocaleString('en-US')}</Value>{times}<Value>{flopsText(flopsPerToken)}</Value></>} below={<Value>{RANGES.flopsPerSecond.text(flopsPerSecond)}</Value>} />}
    >
      n tokens of the batch, f FLOPs of a token in a layer, F rate of the device. The gather is hidden where t_C is at least t_EP.
    </Formula>
  );
}

function Saturation() {
  const { settings: { flopsPerSecond, gamma }, threshold: { transferMs, flops, tokens } } = scenario.value;
  return (
    <Formula
      id="threshold" title="The saturation threshold" section="equation 1" file="src/serving/saturation.ts" result={`${flopsText(flops)}, ${tokensText(tokens)}`}
      names={<><Name of="T" /><Sign>=</Sign><Name of="t" sub="EP" />{times}<Name of="F" />{times}<Name of="γ" /></>}
      numbers={<><Value>{msText(transferMs)}</Value>{times}<Value>{RANGES.flopsPerSecond.text(flopsPerSecond)}</Value>{times}<Value>{gamma.toFixed(2)}</Value></>}
    >
      The work that lasts as long as the transfer, with a margin γ. The paper takes the peak rate for F, which is safe; here it is the rate that passes reach, so that the line is where hiding begins.
    </Formula>
  );
}

function BatchThreshold() {
  const { threshold: { flops, batchFlops } } = scenario.value;
  return (
    <Formula
      id="batch-threshold" title="The threshold of a batch" section="section 7.4" file="src/serving/saturation.ts" result={flopsText(batchFlops)}
      names={<><Name of="T" sub="batch" /><Sign>=</Sign><Name of="L" sub="MoE" />{times}<Name of="T" /></>}
      numbers={<><Value>{MODEL_LAYERS}</Value>{times}<Value>{flopsText(flops)}</Value></>}
    >
      The frontend counts the load of a rank over all L layers with experts, so it compares it with that many times T.
    </Formula>
  );
}

function Overlap() {
  const { run: { summary: { mean } } } = scenario.value;
  return (
    <Formula
      id="overlap" title="Overlap efficiency" section="section 6.2" file="src/trace/summary.ts" result={shareText(mean.overlapEfficiency)}
      names={<><Name of="e" /><Sign>=</Sign><mn>1</mn><Sign>−</Sign><Fraction above={<mtext>exposed</mtext>} below={<mtext>transfers</mtext>} /></>}
      numbers={<><mn>1</mn><Sign>−</Sign><Fraction above={<Value>{msText(mean.exposedMs)}</Value>} below={<Value>{msText(mean.transferMs)}</Value>} /></>}
    >
      Of the time in which bytes were on their way, the share that compute hid. All of a rank's transfers in the drawing; exposed is the red.
    </Formula>
  );
}

export const FormulasSection = () => (
  <section id="formulas" aria-labelledby="formulas-title">
    <h2 id="formulas-title">The formulas, with your numbers</h2>
    <p>What the drawings above are made of. All numbers come from the simulator and follow the sliders.</p>
    <div class="formulas">
      <LayerBytes />
      <Gather />
      <HostLoad />
      <Compute />
      <Saturation />
      <BatchThreshold />
      <Overlap />
    </div>
    <div class="tables">
      <TrafficTable paper={PAPER} />
      <MemoryTable paper={PAPER} />
    </div>
  </section>
);
