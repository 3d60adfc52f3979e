/** The steps of the tour: what each says, asks and shows. */
import type { ComponentChildren } from 'preact';
import { bytesText, flopsText, msText, tokensText } from '../../numbers.ts';
import { MODEL_LAYERS, modelOf } from '../../scenario.ts';
import { settings } from '../../settings.ts';
import { scenario } from '../../shown.ts';
import { play as playFrontend } from '../frontend/state.ts';
import { longBatch, oneBatch, playAll, severalRanks, shortBatch, stopAt } from './scenes.ts';

export interface Step {
  readonly title: string;
  /** The part of the page that it is about. */
  readonly target: string;
  /** Sets the page. */
  readonly show: () => void;
  /** Two to four sentences. A component: it reads numbers of the page. */
  readonly Text: () => ComponentChildren;
  readonly question: string;
  readonly Answer: () => ComponentChildren;
  /** Section of the paper. */
  readonly paper: string;
  /** What does it here, from the root of the repository. */
  readonly file: string;
  /** Things to try. */
  readonly buttons?: readonly { readonly text: string; readonly act: () => void }[];
}

const layerBytes = (): number => scenario.value.threshold.layerBytes;

export const STEPS: readonly Step[] = [
  {
    title: 'Many experts, few at work',
    target: '.setting:has(#slider-experts)',
    show: severalRanks,
    Text: () => (
      <>
        A language model is a stack of layers. In each layer the words of a text, its <em>tokens</em>, first look at each other (attention); then every token goes through a small network of its own.
        In a <em>mixture of experts</em> there are many such networks, {settings.value.experts} in each layer of the model drawn here, and a router picks {modelOf(settings.value).numExpertsPerTok} of
        them for each token. So the model knows much, and a token costs little.
      </>
    ),
    question: 'A batch has thousands of tokens. How many of a layer’s experts does it need?',
    Answer: () => 'Nearly all: each token picks a few, but different tokens pick different ones. Whoever computes a layer for a whole batch needs all of its experts at hand.',
    paper: '2.3 Mixture-of-Experts (MoE) Models',
    file: 'shaders/router-topk.wgsl',
  },
  {
    title: 'One look, one answer',
    target: '.setting:has(#slider-tokens)',
    show: severalRanks,
    Text: () => (
      <>
        Is this mail spam? Does the text support this claim? One token out of a few says it, and it can be read off after the model has gone over the text once; nothing is written. That
        is <em>prefill-only</em> work, and it comes by the million: nobody waits for a single answer, so texts are packed into long batches, and what counts is how many tokens a second all devices get done.
      </>
    ),
    question: 'Why is a chat different?',
    Answer: () => 'It writes word after word, one short pass for each, and somebody waits for it. A short pass computes so little that nothing can be hidden behind it.',
    paper: '3.1 Prefill-Only Workloads in Practice',
    file: 'src/model/tasks.ts',
  },
  {
    title: 'Too big for one device',
    target: '.setting:has(#slider-ranks)',
    show: severalRanks,
    Text: () => (
      <>
        The experts of one layer take {bytesText(layerBytes())}, and this model has {MODEL_LAYERS} layers: {bytesText(MODEL_LAYERS * layerBytes())}. A large device holds about 80 GB. So several devices share the
        model; each is called a <em>rank</em>. All of them keep the small rest of it, attention above all, and each keeps its share of every layer’s experts.
      </>
    ),
    question: 'Which part of a layer’s experts does a rank keep here, and which do its tokens need?',
    Answer: () => `It keeps 1 of ${settings.value.ranks} parts, about ${bytesText(layerBytes() / settings.value.ranks)}; its tokens need all ${bytesText(layerBytes())}. So something has to travel: the tokens, or the experts.`,
    paper: '4.1 Memory Pressure',
    file: 'src/strategy/memory.ts',
  },
  {
    title: 'The usual way: tokens travel',
    target: '#baselines',
    show: () => { severalRanks(); oneBatch(); },
    Text: () => (
      <>
        Under <em>expert parallelism</em> (EP) a layer goes like this: each rank sends its tokens to the ranks that keep the chosen experts, those compute, and the results travel back. That makes two exchanges in
        every layer, with all devices at once, and computing cannot go on before they are done. If the experts of one rank are popular, all others wait for it: that is <span class="exposed">the red</span> in the row of EP.
      </>
    ),
    question: 'Does a longer batch help?',
    Answer: () => 'Hardly: twice the tokens are twice the computing, but also twice the bytes that travel. Two half batches help, one computes while the rows of the other travel (the menu switches to it). Popular experts hold everybody up all the same.',
    paper: '4.3 Communication Overhead',
    file: 'src/strategy/ep.ts',
  },
  {
    title: 'AsyncEP: experts travel',
    target: '#drawing',
    show: () => { longBatch(); playAll(); },
    Text: () => (
      <>
        Turn it round: tokens stay where they are, and the experts come. While a layer computes, the experts of the <em>next</em> one are gathered from all ranks; those are the pale bars. When the next layer begins, everything
        it needs is on the device. No rank waits for another one: each goes through its own batch at its own pace.
      </>
    ),
    question: 'When can a rank still be held up?',
    Answer: () => 'At one place only: at the entry of a layer, if its experts are not all there yet.',
    paper: '6.2 Asynchronous Expert Parallelism',
    file: 'src/strategy/asyncep.ts',
  },
  {
    title: 'Two slots',
    target: '#drawing',
    show: () => { longBatch(); stopAt(0.4); },
    Text: () => (
      <>
        A device has room for two complete layers. These <em>slots</em> stand at the left of each rank: the layer that computes uses one while the next layer’s experts fill the other, then they change places. Layer 0 stays on every device, so a
        pass can begin at once. The arrow keys step through it when the drawing has the focus.
      </>
    ),
    question: 'Would ten slots be faster than two?',
    Answer: () => 'No. If a layer computes for longer than its gather takes, two are enough. If it computes for less, the link is busy all the time, and more slots do not make it carry more. They only take memory.',
    paper: '6.2 Asynchronous Expert Parallelism',
    file: 'src/engine/slot-stream.ts',
  },
  {
    title: 'Hidden or not',
    target: '#drawing',
    show: () => { shortBatch(); stopAt(1); },
    Text: () => {
      const { computeMs, transferMs, exposedMs } = scenario.value.threshold;
      return (
        <>
          A gather brings the same bytes whether a batch is short or long; computing takes longer the more tokens there are. This batch has {tokensText(settings.value.tokens)}: a layer computes
          for {msText(computeMs)}, and the gather of the next takes {msText(transferMs)}.{' '}
          {exposedMs > 0 ? <>So the device stands still for {msText(exposedMs)} in each layer: that is <span class="exposed">the red</span>.</> : 'So every gather is done in time, and nobody notices it.'}
        </>
      );
    },
    question: 'The batch is short and you cannot make it longer. What else takes the red away?',
    Answer: () => 'A faster link, or smaller experts. A slower device would do it, too: what counts is which of the two times is longer. Try the sliders.',
    paper: '6.2 Asynchronous Expert Parallelism',
    file: 'src/strategy/stats.ts',
    buttons: [{ text: 'A short batch', act: shortBatch }, { text: 'A long batch', act: longBatch }],
  },
  {
    title: 'The threshold T',
    target: '.threshold-part',
    show: severalRanks,
    Text: () => {
      const { transferMs, flops, tokens } = scenario.value.threshold;
      return (
        <>
          <em>T = t<sub>EP</sub> × F × γ</em>: the time of a gather ({msText(transferMs)}), times what a device computes in a second, times a margin for jitter ({settings.value.gamma.toFixed(2)}).
          Here that is {flopsText(flops)} for a layer, or {tokensText(tokens)}. A batch with more hides every gather: so it leaves when it has T, or when its first request has waited too long.
        </>
      );
    },
    question: 'Devices get twice as fast and the link stays. What becomes of T?',
    Answer: () => 'It doubles: twice the computing fits into the time of a gather, so batches must be twice as long.',
    paper: '6.2 Asynchronous Expert Parallelism, equation (1)',
    file: 'src/serving/saturation.ts',
  },
  {
    title: 'Who fills the batches',
    target: '#frontend .stage',
    show: () => undefined,
    Text: () => (
      <>
        In front of the ranks stands a <em>frontend</em>. It hands out requests until each rank’s batch has reached T. Many texts begin alike: the same instructions, or ten questions on one document. A rank that has computed such a
        beginning, a <em>prefix</em>, keeps what came of it, and the frontend sends a request to where most of its beginning is known.
      </>
    ),
    question: 'Why does it measure load in FLOPs and not in requests?',
    Answer: () => 'Ten questions on one document cost one document and ten short questions. Counted as requests, or as tokens, they look like ten documents: their rank would seem full, and the last ones would be sent where the document has to be computed again.',
    paper: '7 Frontend: Prefix-, Compute-, and Overlap-Aware Scheduling',
    file: 'src/serving/prefix-policy.ts',
    buttons: [{ text: 'Play it', act: playFrontend }],
  },
  {
    title: 'Run it here',
    target: '#run',
    show: () => undefined,
    Text: () => (
      <>
        Now for real: a small mixture of experts says whether a mail is spam, in this tab, on your GPU. This page’s server plays the other ranks, and experts come over the network into two slots. Ask it something, and
        the timeline of its pass appears in the drawing above. Then try <code>sync</code>, which fetches a layer only when it is needed.
      </>
    ),
    question: 'Why is there much more red than in the simulation?',
    Answer: () => 'One mail is a tiny batch, far below T, and HTTP is slow beside a link between devices. The schedule is the same.',
    paper: '6.3 AsyncEP with Offloading and KV-Cache-Free Execution',
    file: 'src/browser/tab-engine.ts',
  },
];
