/** The ranks' rows under one time axis, with the playhead through all of them. */
import { effect, signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { Track } from '../../../../src/trace/events.ts';
import { colours } from '../../drawing/colours.ts';
import { allInWords, inWords } from '../../drawing/doing.ts';
import { layOut, paintAxis, paintRank } from '../../drawing/paint.ts';
import { passStretches, type DrawnRank } from '../../drawing/timeline.ts';
import { useCanvas } from '../../drawing/use-canvas.ts';
import { msText } from '../../numbers.ts';
import { lengthMs, nowMs, pause, playing, seek, step } from '../../player.ts';
import { drawing, exposedMs } from '../../shown.ts';
import { SlotBoxes } from './slot-boxes.tsx';
import { togglePlay } from './transport.tsx';

const NARROW = matchMedia('(width < 520px)');
/** Ranks that are shown at first: in a simulation all do the same. */
const firstRanks = (): number => (NARROW.matches ? 1 : 2);
const unfolded = signal(false);

const LABELS: Readonly<Record<Track, readonly [simulated: string, real: string]>> = {
  compute: ['compute', 'compute'], send: ['send', 'send'], receive: ['gather', 'receive'], slot: ['from host', 'to slot'], wait: ['wait', 'wait'],
};

function Axis() {
  const ref = useCanvas((canvas) => paintAxis(canvas, drawing.value.view, passStretches(drawing.value.timeline), colours.value));
  return <canvas class="axis" ref={ref} aria-hidden="true" />;
}

const summaryOf = ({ rank, rows, exposed }: DrawnRank): string => {
  const counts = rows.map(({ track, lanes }) => `${lanes.flat().length} ${track}`);
  return `Rank ${rank}: bars of ${counts.join(', ')}; ${exposed.length === 0 ? 'it never stands still for bytes' : `it stands still for bytes ${exposed.length} times`}`;
};

/** Moves the clock to where the pointer is, while it is down. */
function follow(event: PointerEvent & { readonly currentTarget: HTMLElement }): void {
  if (event.buttons !== 1) return;
  const { left, width } = event.currentTarget.getBoundingClientRect();
  pause();
  seek(((event.clientX - left) / width) * lengthMs.value);
}

function Lanes({ index }: { readonly index: number }) {
  const ref = useCanvas((canvas) => {
    const { timeline, view } = drawing.value;
    const rank = timeline.ranks[index];
    if (rank !== undefined) paintRank(canvas, rank, layOut(rank.rows).rows, view, colours.value);
  });
  const rank = drawing.value.timeline.ranks[index];
  if (rank === undefined) return null;
  const { rows, height } = layOut(rank.rows);
  return (
    <>
      <div class="labels" aria-hidden="true">
        {rows.map(({ track, top, height }) => <span key={track} style={{ top: `${top}px`, height: `${height}px` }}>{LABELS[track][drawing.value.isReal ? 1 : 0]}</span>)}
      </div>
      <div class="lanes" onPointerDown={follow} onPointerMove={follow}>
        <canvas ref={ref} role="img" aria-label={summaryOf(rank)} style={{ height: `${height}px` }} />
        <i class="veil" /><i class="playhead" />
      </div>
    </>
  );
}

const RankRow = ({ index, rank }: { readonly index: number; readonly rank: number }) => (
  <div class="rank" data-rank={rank}>
    <div class="side"><h3>Rank {rank}</h3><SlotBoxes index={index} /></div>
    <Lanes index={index} />
  </div>
);

const KEYS: Readonly<Record<string, () => void>> = {
  ' ': togglePlay, ArrowRight: () => step(1), ArrowLeft: () => step(-1), Home: () => { pause(); seek(0); }, End: () => { pause(); seek(lengthMs.value); },
};

function onKeyDown(event: KeyboardEvent): void {
  const act = KEYS[event.key];
  if (act === undefined || event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
}

/** How long the clock must rest until it is told what the ranks do. */
const REST_MS = 300;

/** For those who do not see the drawing: what each rank does when the clock rests. */
function Announcer() {
  const ref = useRef<HTMLParagraphElement>(null);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    const stop = effect(() => {
      const { timeline, view } = drawing.value;
      const [ms, rests] = [nowMs.value, !playing.value];
      clearTimeout(timer);
      if (!rests) return;
      timer = setTimeout(() => {
        if (ref.current !== null) ref.current.textContent = `${msText(ms)}: ${allInWords(timeline.ranks, view.fromMs + ms)}`;
      }, REST_MS);
    });
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, []);
  return <p ref={ref} class="unseen" id="schedule-now" aria-live="polite" />;
}

/** What the first rank does now, for all to read. */
export function NowText() {
  const { timeline: { ranks: [first] }, view } = drawing.value;
  return <p class="now" aria-hidden="true">{first === undefined ? '' : <><b>Rank {first.rank}</b> {inWords(first, view.fromMs + nowMs.value)}</>}</p>;
}

export function Ranks() {
  const { timeline: { ranks }, slots } = drawing.value;
  const shown = unfolded.value ? ranks : ranks.slice(0, firstRanks());
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => effect(() => {
    const share = nowMs.value / lengthMs.value;
    ref.current?.style.setProperty('--at', String(share));
    ref.current?.toggleAttribute('data-begun', share > 0);
  }), []);
  return (
    <>
      <div
        class="ranks" id="drawing" ref={ref} tabIndex={0} role="group" onKeyDown={onKeyDown} data-slots={slots}
        aria-label={`Schedule of ${ranks.length} ${ranks.length === 1 ? 'rank' : 'ranks'} over ${msText(lengthMs.value)}, ${msText(exposedMs.value)} of it exposed. Space plays, arrows step.`}
      >
        <div class="rank"><div class="side" /><div class="labels" /><Axis /></div>
        {shown.map(({ rank }, index) => <RankRow key={rank} index={index} rank={rank} />)}
      </div>
      <Announcer />
      {ranks.length > firstRanks() && (
        <button type="button" class="fold" aria-expanded={unfolded.value} onClick={() => void (unfolded.value = !unfolded.value)}>
          {unfolded.value ? 'Fewer ranks' : `All ${ranks.length} ranks`}
        </button>
      )}
    </>
  );
}
