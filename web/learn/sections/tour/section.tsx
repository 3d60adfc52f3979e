/** A guided tour of the page. */
import { useEffect } from 'preact/hooks';
import { Panel } from './panel.tsx';
import { followAddress, lastStep, openAt, openStep } from './state.ts';
import { STEPS } from './steps.tsx';

const startText = (): string => (lastStep.value === 0 ? 'Start the tour' : `Go on at step ${lastStep.value + 1}`);

export function TourSection() {
  useEffect(followAddress, []);
  const step = openStep.value;
  return (
    <section id="tour" aria-labelledby="tour-title" data-open={step !== null}>
      <h2 id="tour-title">A tour</h2>
      <p>
        A mixture-of-experts model is too big for one device, so several share it, and something has to travel between them. This page shows what, when, and what it costs, with simulated
        and with real runs. The tour takes ten minutes and expects no knowledge of such models; everything stays yours to change on the way.
      </p>
      <p><button type="button" id="tour-start" class="next" onClick={() => openAt(lastStep.value)}>{startText()}</button></p>
      <ol>{STEPS.map(({ title }, index) => <li key={title} aria-current={step === index ? 'step' : undefined}><a href={`#tour-${index + 1}`}>{title}</a></li>)}</ol>
      {step !== null && <Panel index={step} />}
    </section>
  );
}
