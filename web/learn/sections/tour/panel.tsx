/** The open step, at the lower edge of the window. The page stays usable beside it. */
import { useEffect, useRef } from 'preact/hooks';
import { highlight } from './highlight.ts';
import { end, move } from './state.ts';
import { STEPS, type Step } from './steps.tsx';

const PAPER = 'https://arxiv.org/abs/2605.02960';

const Facts = ({ step: { question, Answer, paper, file } }: { readonly step: Step }) => (
  <div class="facts">
    <details><summary>{question}</summary><p><Answer /></p></details>
    <p class="faint">
      Paper, section <a href={PAPER} target="_blank" rel="noreferrer">{paper}</a>. Code: <code>{file}</code>
    </p>
  </div>
);

const Buttons = ({ index }: { readonly index: number }) => (
  <p class="buttons">
    <button type="button" disabled={index === 0} onClick={() => move(-1)}>Back</button>
    {index < STEPS.length - 1 && <button type="button" class="next" onClick={() => move(1)}>Next</button>}
    <button type="button" onClick={end}>End the tour</button>
    <span class="faint keys"><kbd>←</kbd> <kbd>→</kbd> step, <kbd>Esc</kbd> ends</span>
  </p>
);

const KEYS: Readonly<Record<string, () => void>> = { ArrowRight: () => move(1), ArrowLeft: () => move(-1), Escape: end };

function onKeyDown(event: KeyboardEvent): void {
  const act = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey ? undefined : KEYS[event.key];
  if (act === undefined) return;
  event.preventDefault();
  act();
}

/** When the tour ends, reading goes on at the part it was about. */
function focusPart(selector: string): void {
  const part = document.querySelector<HTMLElement>(selector);
  if (part === null) return;
  if (part.tabIndex < 0) part.tabIndex = -1;
  part.focus({ preventScroll: true });
}

export function Panel({ index }: { readonly index: number }) {
  const [panel, title] = [useRef<HTMLDivElement>(null), useRef<HTMLHeadingElement>(null)];
  const step = STEPS[index] as Step;
  useEffect(() => {
    title.current?.focus({ preventScroll: true });
    return highlight(step.target, panel.current as Element);
  }, [step]);
  const target = useRef(step.target);
  target.current = step.target;
  useEffect(() => () => focusPart(target.current), []);
  return (
    <div id="tour-panel" ref={panel} role="region" aria-label="Tour" onKeyDown={onKeyDown}>
      <div class="words">
        <p class="faint" aria-live="polite">Step {index + 1} of {STEPS.length}</p>
        <h3 ref={title} tabIndex={-1}>{step.title}</h3>
        <p><step.Text /></p>
        {step.buttons !== undefined && <p class="buttons">{step.buttons.map(({ text, act }) => <button key={text} type="button" onClick={act}>{text}</button>)}</p>}
      </div>
      <Facts key={index} step={step} />
      <Buttons index={index} />
    </div>
  );
}
