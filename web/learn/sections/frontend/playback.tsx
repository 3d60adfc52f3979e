/** Play, pause, step, speed; and what has just happened, in words. */
import { useEffect } from 'preact/hooks';
import { happened, advance, atSeconds, lengthSeconds, pause, play, playing, restart, run, seek, speed, step, stepped, view } from './state.ts';
import { sentenceOf } from './sentences.ts';
import type { Moment } from './moments.ts';
import { stepFrom } from './timeline.ts';

const SPEEDS = [0.5, 1, 2, 4, 8];
/** Sentences that are shown. */
const LATEST = 5;

/** Runs the clock while it plays. */
function useClock(): void {
  useEffect(() => {
    if (!playing.value) return undefined;
    let before = performance.now();
    let frame = requestAnimationFrame(function tick(now) {
      advance(Math.max(0, now - before) / 1000);
      before = now;
      frame = requestAnimationFrame(tick);
    });
    return () => cancelAnimationFrame(frame);
  }, [playing.value]);
}

function Scrubber() {
  const text = `${view.value.arrived} of ${run.value.arrivals.length} requests have come, ${view.value.answered} are answered`;
  return (
    <input
      class="scrubber" type="range" aria-label="Moment of the run" aria-valuetext={text} min={0} max={lengthSeconds.value} step="any" value={atSeconds.value}
      onInput={({ currentTarget }) => seek(Number(currentTarget.value))}
    />
  );
}

export function Playback() {
  useClock();
  return (
    <div class="playback" role="group" aria-label="Playback of the frontend">
      <button type="button" class="play" onClick={() => (playing.value ? pause() : play())}>{playing.value ? 'Pause' : 'Play'}</button>
      <button type="button" title="One request back" onClick={() => step(-1)}><span aria-hidden="true">◂ </span>Back</button>
      <button type="button" title="One request on" onClick={() => step(1)}>Step<span aria-hidden="true"> ▸</span></button>
      <button type="button" onClick={restart}>From the start</button>
      <label>Speed <select value={speed.value} onChange={({ currentTarget }) => void (speed.value = Number(currentTarget.value))}>
        {SPEEDS.map((each) => <option key={each} value={each}>{each} x</option>)}
      </select></label>
      <Scrubber />
    </div>
  );
}

/** Moments of [first, last) that are worth a sentence: the decision about a request says that it has come. */
const told = (first: number, last: number): readonly { readonly number: number; readonly moment: Moment }[] =>
  run.value.moments.slice(first, last).map((moment, index) => ({ number: first + index, moment })).filter(({ moment }) => moment.kind !== 'arrived' || moment.waits);

/** What the last step brought, for who does not see it. Silent while it plays, and when a slider is moved: that would be too much to listen to. */
function Announcement() {
  const news = !stepped.value ? [] : told(stepFrom(run.value.moments, happened.value, -1), happened.value);
  return <p class="unseen" aria-live="polite">{news.map(({ moment }) => sentenceOf(run.value, moment)).join(' ')}</p>;
}

export function Sentences() {
  const last = happened.value;
  const first = Math.max(0, last - 2 * LATEST);
  const latest = told(first, last).toReversed();
  return (
    <>
      <Announcement />
      <ol class="said" aria-label="What happened last, the newest first">
        {latest.length === 0 && <li>Nothing has come yet. Press Play, or Step for one request.</li>}
        {latest.slice(0, LATEST).map(({ number, moment }) => <li key={number} data-kind={moment.kind}>{sentenceOf(run.value, moment)}</li>)}
      </ol>
    </>
  );
}
