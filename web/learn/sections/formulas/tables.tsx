/** Bytes of the baselines and of a device. */
import { memoryOf, trafficOf } from '../../bytes.ts';
import { bytesText } from '../../numbers.ts';
import { modelOf, WEIGHT_BYTES } from '../../scenario.ts';
import { settings } from '../../settings.ts';

/** The paper's table (section 4), as far as this project has the strategies. */
const TRAFFIC = [
  ['ep', 'DP × EP', '4 k (P−1)/P · B S H b'],
  ['dp-tp', 'DP × TP', '4 (P−1)/P · B S H b'],
  ['tp-ep', 'TP × EP', '(2 + 4 k) (P−1)/P · B S H b'],
  ['tp', 'TP × TP', '4 (P−1)/P · B S H b'],
  ['pp', 'PP × PP', '2 B S H b'],
  ['asyncep', 'DP × AsyncEP', '2 (P−1)/P · W, off the path'],
] as const;

interface TableProps {
  readonly paper: string;
}

export function TrafficTable({ paper }: TableProps) {
  const { hiddenSize, numExpertsPerTok } = modelOf(settings.value);
  const { ranks, tokens } = settings.value;
  return (
    <div class="scroll" role="region" aria-label="Bytes of each strategy" tabIndex={0}>
      <table>
        <caption>
          Bytes that a device sends and receives in one layer, for P = {ranks} ranks with B S = {(ranks * tokens).toLocaleString('en-US')} tokens together, H = {hiddenSize}, k = {numExpertsPerTok}{' '}
          experts a token, b = {WEIGHT_BYTES} bytes. <a href={paper}>Paper, section 4, table 1</a>; <code>src/sim/plan/traffic.ts</code>
        </caption>
        <thead><tr><th scope="col">attention × experts</th><th scope="col" class="left">what travels</th><th scope="col" class="left">formula</th><th scope="col">bytes</th></tr></thead>
        <tbody>
          {TRAFFIC.map(([strategy, name, formula]) => {
            const { collectives, sentBytes, receivedBytes } = trafficOf(settings.value, strategy);
            return <tr key={strategy} data-strategy={strategy}><th scope="row">{name}</th><td class="left">{collectives}</td><td class="left">{formula}</td><td data-key="bytes">{bytesText(sentBytes + receivedBytes)}</td></tr>;
          })}
        </tbody>
      </table>
    </div>
  );
}

const PARTS = [
  ['shared', 'attention, embedding, head, norms, routers'], ['firstLayer', 'complete experts of the first layer'], ['shard', 'own share of all other layers’ experts'],
  ['slots', 'slots for complete layers'], ['keysAndValues', 'keys and values of the layer that computes'], ['workspace', 'workspace of the batch'],
] as const;

export function MemoryTable({ paper }: TableProps) {
  const { parts, total } = memoryOf(settings.value, 'asyncep');
  return (
    <div class="scroll" role="region" aria-label="Memory of a device" tabIndex={0}>
      <table>
        <caption>
          Memory of a device under AsyncEP with the whole model{settings.value.offload > 0 ? ', own experts in host memory' : ''}. <a href={paper}>Paper, section 4.1</a>; <code>src/sim/plan/memory.ts</code>
        </caption>
        <tbody>
          {PARTS.map(([key, name]) => <tr key={key}><th scope="row">{name}</th><td data-key={key}>{bytesText(parts[key])}</td></tr>)}
          <tr class="total"><th scope="row">together</th><td data-key="total">{bytesText(total)}</td></tr>
        </tbody>
      </table>
    </div>
  );
}
