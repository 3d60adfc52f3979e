/** Buttons and scrubber of the clock. */
import { useEffect } from 'preact/hooks';
import { msText } from '../../numbers.ts';
import { advance, lengthMs, nowMs, pause, play, playing, seek, speed, step } from '../../player.ts';

const SPEEDS = [0.25, 0.5, 1, 2, 4];
/** The scrubber's positions. */
const PARTS = 1000;

/** Lets time go by while it plays. */
function useClock(): void {
  const running = playing.value;
  useEffect(() => {
    if (!running) return undefined;
    let [frame, last] = [0, performance.now()];
    const tick = (now: number): void => {
      advance(now - last);
      last = now;
      frame = requestAnimationFrame(tick);
    };
    frame = requestAnimationFrame(tick);
    return () => cancelAnimationFrame(frame);
  }, [running]);
}

export const togglePlay = (): void => (playing.value ? pause() : play());

const Icon = ({ path }: { readonly path: string }) => <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d={path} fill="currentColor" /></svg>;

function Scrubber() {
  return (
    <input
      class="scrubber" id="scrubber" type="range" min={0} max={PARTS} step="any" value={(nowMs.value / lengthMs.value) * PARTS} aria-label="Moment"
      aria-valuetext={`${msText(nowMs.value)} of ${msText(lengthMs.value)}`}
      onInput={(event) => {
        pause();
        seek((event.currentTarget.valueAsNumber / PARTS) * lengthMs.value);
      }}
    />
  );
}

const Clock = () => <output class="clock" id="clock" aria-live="off" data-ms={nowMs.value}>{msText(nowMs.value)} of {msText(lengthMs.value)}</output>;

export function Transport() {
  useClock();
  return (
    <div class="transport" role="group" aria-label="Playback">
      <button type="button" onClick={() => step(-1)} aria-label="Step back"><Icon path="M11 3 4 8l7 5z" /></button>
      <button type="button" class="play" id="play" onClick={togglePlay}>{playing.value ? 'Pause' : 'Play'}</button>
      <button type="button" onClick={() => step(1)} aria-label="Step forward"><Icon path="m5 3 7 5-7 5z" /></button>
      <label>Speed{' '}
        <select id="speed" value={speed.value} onChange={({ currentTarget }) => void (speed.value = Number(currentTarget.value))}>
          {SPEEDS.map((one) => <option key={one} value={one}>{one}×</option>)}
        </select>
      </label>
      <Scrubber />
      <Clock />
    </div>
  );
}
