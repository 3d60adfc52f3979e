/** What the model said, and what each way to bring experts took. */
import { bytesText, msText, shareText } from '../../numbers.ts';
import { answers, type Answered, WAYS } from './state.ts';

const probabilityOf = ({ answer, probabilities }: Answered): number => probabilities[answer] ?? 0;

/** What people called the mail; nothing for a text of the reader's own. */
const Truth = ({ of: { answer, truth } }: { of: Answered }) =>
  truth === undefined ? null : <span class="faint">{truth === answer ? `Right: people called it ${truth}, too.` : `Wrong: people called it ${truth}. It errs on about 2 of 100 mails.`}</span>;

const Newest = ({ of }: { of: Answered }) => (
  <>
    <p aria-live="polite"><strong id="answer">{`${of.answer} (${shareText(probabilityOf(of))}), ${of.wallMs.toFixed(0)} ms`}</strong> <Truth of={of} /></p>
    <ul class="shares">
      {Object.entries(of.probabilities).map(([label, share]) => (
        <li key={label}><span>{label}</span><meter min={0} max={1} value={share} aria-label={`probability of ${label}`} /><span>{shareText(share)}</span></li>
      ))}
    </ul>
    <p><a href="#schedule">See this pass in the drawing</a>: what came when, and where the device waited.</p>
  </>
);

const lastOf = (all: readonly Answered[], strategy: string): Answered | undefined => all.findLast((one) => one.strategy === strategy);

const Comparison = () => (
  <div class="scroll" tabIndex={0} role="region" aria-label="Passes in this tab">
    <table id="passes">
      <caption>The last pass of each way. Ask twice: the first pass of an engine also warms up.</caption>
      <thead><tr>{['experts come', 'tokens', 'time', 'streamed', 'fetching and packing', 'exposed'].map((head) => <th key={head} scope="col">{head}</th>)}</tr></thead>
      <tbody>
        {WAYS.flatMap(({ strategy }) => {
          const one = lastOf(answers.value, strategy);
          return one === undefined ? [] : [(
            <tr key={strategy}>
              <th scope="row"><code>{strategy}</code></th><td>{one.tokens}</td><td>{msText(one.wallMs)}</td><td>{bytesText(one.streamedBytes)}</td><td>{msText(one.gatherMs)}</td><td class={one.exposedMs > 0 ? 'exposed' : undefined}>{msText(one.exposedMs)}</td>
            </tr>
          )];
        })}
      </tbody>
    </table>
  </div>
);

/** Its timeline is in the drawing, and long. */
const detailsOf = (answered: Answered): string => JSON.stringify({ ...answered, logits: [...answered.logits], trace: undefined }, null, 1);

export function Answers() {
  const newest = answers.value.at(-1);
  if (newest === undefined) return null;
  return (
    <>
      <Newest of={newest} />
      <Comparison />
      <p class="faint">Exposed: the device had nothing to do but to wait for experts. A mail alone is a tiny batch, so much of the fetching shows; a server fills its batches until none does.</p>
      <details><summary>All of the answer</summary><pre id="details" tabIndex={0}>{detailsOf(newest)}</pre></details>
    </>
  );
}
