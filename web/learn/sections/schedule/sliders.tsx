/** The sliders of the scenario, and places to jump to. */
import { machineOf, MACHINES } from '../../machines.ts';
import { change, lastPosition, positionOf, RANGES, SETTING_NAMES, settings, snap, valueAt, type SettingName } from '../../settings.ts';
import { scenario } from '../../shown.ts';

function Slider({ name }: { readonly name: SettingName }) {
  const range = RANGES[name];
  const [id, value] = [`slider-${name}`, settings.value[name]];
  const text = range.text(value);
  return (
    <div class="setting">
      <label for={id}>{range.label}</label>
      <output for={id}>{text}</output>
      <input
        id={id} type="range" min={0} max={lastPosition(range)} step={1} value={positionOf(range, value)} aria-valuetext={text}
        disabled={name === 'hostBytesPerSecond' && settings.value.offload === 0}
        onInput={(event) => change({ [name]: valueAt(range, event.currentTarget.valueAsNumber) })}
      />
    </div>
  );
}

const MachineSelect = () => (
  <label>
    Machine{' '}
    <select id="machine" value={machineOf(settings.value)?.name ?? ''} onChange={({ currentTarget }) => change(MACHINES.find(({ name }) => name === currentTarget.value)?.patch ?? {})}>
      <option value="" disabled>your own</option>
      {MACHINES.map(({ name, title }) => <option key={name} value={name}>{title}</option>)}
    </select>
  </label>
);

/** A batch of so many times T. */
const BatchButton = ({ times, children }: { readonly times: number; readonly children: string }) => (
  <button type="button" onClick={() => change({ tokens: snap('tokens', times * scenario.value.threshold.tokens) })}>{children}</button>
);

export const Sliders = () => (
  <div class="sliders" role="group" aria-label="Scenario">
    <div class="jumps">
      <MachineSelect />
      <BatchButton times={1 / 4}>Short batch</BatchButton>
      <BatchButton times={2}>Long batch</BatchButton>
    </div>
    {SETTING_NAMES.map((name) => <Slider key={name} name={name} />)}
  </div>
);
