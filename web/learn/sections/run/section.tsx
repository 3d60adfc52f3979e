/** The demo model in this tab. */
import { Answers } from './answers.tsx';
import { Commands } from './commands.tsx';
import { answers, ask, doing, EXAMPLES, example, hasWebGpu, problem, strategy, text, WAYS } from './state.ts';

/** All of models/spam-mail that the tab fetches until the first answer. */
const MODEL_MB = 6.5;

const Mail = () => (
  <>
    <p>
      <label>Pick a mail that the model has not seen in training{' '}
        <select id="example" value={example.value?.id ?? ''} onChange={({ currentTarget }) => { text.value = EXAMPLES.find(({ id }) => id === currentTarget.value)?.text ?? ''; }}>
          {EXAMPLES.map(({ id, title }) => <option key={id} value={id}>{title}</option>)}
          <option value="">one of your own</option>
        </select>
      </label>
    </p>
    <p><label>or write one<br /><textarea id="mail" rows={9} required value={text.value} onInput={({ currentTarget }) => { text.value = currentTarget.value; }} /></label></p>
  </>
);

const Ways = () => (
  <fieldset>
    <legend>Experts come</legend>
    {WAYS.map(({ strategy: name, text: words }) => (
      <label key={name}>
        <input type="radio" name="strategy" value={name} checked={strategy.value === name} disabled={doing.value !== null} onChange={() => { strategy.value = name; }} /> {words} (<code>{name}</code>)
      </label>
    ))}
  </fieldset>
);

/** `ready` for a mail, or what is being done: read out as it changes. */
const State = () => <output id="state">{doing.value ?? (problem.value !== null ? 'stopped' : 'ready')}</output>;

const buttonText = (): string => (answers.value.length === 0 ? `Load the model (${MODEL_MB} MB) and classify` : 'Classify');

export const RunSection = () => (
  <section id="run" aria-labelledby="run-title" data-answers={answers.value.length}>
    <h2 id="run-title">Run it here</h2>
    <p>
      Is a mail spam? A small mixture-of-experts model answers on the GPU of the machine you are at: 4 layers of 16 experts, 3.1 million parameters. It runs the same
      shaders and the same engine as a server does. This tab is a world of one rank, and this page's server stands in for the other ranks: experts come from it over HTTP, into two slots.
    </p>
    <form onSubmit={(event) => { event.preventDefault(); void ask(); }}>
      <Mail />
      <Ways />
      <p class="line"><button type="submit" disabled={!hasWebGpu || doing.value !== null}>{buttonText()}</button> <State /></p>
    </form>
    <p id="problem" role="alert" hidden={problem.value === null}>{problem.value}</p>
    <Answers />
    <Commands />
  </section>
);
