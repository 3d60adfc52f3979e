/** The slots of a rank as vessels: filling while the gather runs, draining while the layer computes. */
import { layerColour } from '../../drawing/colours.ts';
import { doingAt } from '../../drawing/doing.ts';
import { slotsAt, type SlotState } from '../../drawing/slots.ts';
import { nowMs } from '../../player.ts';
import { drawing } from '../../shown.ts';

const WORDS: Readonly<Record<SlotState['state'], (level: number) => string>> = {
  empty: () => 'free', filling: (level) => `${Math.floor(level * 100)} % here`, full: () => 'all here', computing: () => 'in use',
};

const Vessel = ({ state: { layer, state, level }, waited }: { readonly state: SlotState; readonly waited: boolean }) => (
  <div class="vessel" data-state={state} data-waited={waited} data-layer={layer ?? ''} style={`--level: ${level}; --colour: ${layerColour(layer)}`}>
    <b>{layer === null ? '–' : `layer ${layer}`}</b>
    <small>{WORDS[state](level)}</small>
  </div>
);

export function SlotBoxes({ index }: { readonly index: number }) {
  const { timeline, view, slots, stays } = drawing.value;
  const [rank, own] = [timeline.ranks[index], stays[index]];
  if (rank === undefined || own === undefined || slots === 0) return null;
  const ms = view.fromMs + nowMs.value;
  const waited = doingAt(rank, ms).waits?.layer ?? null;
  return (
    <div class="vessels" aria-hidden="true">
      <div class="vessel stays" style={`--level: 1; --colour: ${layerColour(0)}`}><b>layer 0</b><small>stays</small></div>
      {slotsAt(own, slots, ms).map((state, slot) => <Vessel key={slot} state={state} waited={waited !== null && state.layer === waited} />)}
    </div>
  );
}
