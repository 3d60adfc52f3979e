/** Left of the engines: the request that was decided about last, and those that wait. */
import { BLOCK_TOKENS } from '../../../../src/runtime/kernels/attention.ts';
import { decisionAt } from './decision.ts';
import { lookOf } from './prefixes.ts';
import { PREFIX_BLOCKS, PREFIX_TOKENS } from './scene.ts';
import { happened, run, view } from './state.ts';

/** Waiting requests that are drawn; the others are counted. */
const DRAWN = 9;

/** A prompt as a bar, prefix and suffix as long as they are. */
function Bar({ request }: { request: number }) {
  const { prefix, tokens } = run.value.arrivals[request] as { readonly prefix: number; readonly tokens: number };
  const { letter, style } = lookOf(prefix);
  return (
    <span class="bar" style={style}>
      <i class="prefix" style={{ flexGrow: PREFIX_TOKENS }}>{letter}</i>
      <i class="suffix" style={{ flexGrow: tokens - PREFIX_TOKENS }} />
    </span>
  );
}

/** The blocks of the request in hand: those that are known where it goes are filled. */
function Blocks({ request, matched }: { request: number; matched: number }) {
  const { prefix, hashes, tokens } = run.value.arrivals[request] as { readonly prefix: number; readonly hashes: Float64Array; readonly tokens: number };
  const rest = tokens % BLOCK_TOKENS;
  const kindOf = (block: number): string => (block < matched ? 'known' : block < PREFIX_BLOCKS ? 'prefix' : 'own');
  return (
    <span class="blocks" style={lookOf(prefix).style} aria-hidden="true">
      {Array.from(hashes, (_, block) => <i key={block} class={kindOf(block)} />)}
      {rest > 0 && <i class="own" style={{ width: `${rest / BLOCK_TOKENS}em` }} />}
    </span>
  );
}

export function Queue() {
  const decision = decisionAt(run.value, happened.value);
  const waiting = view.value.queue;
  return (
    <div class="arrivals">
      <div class="in-hand" data-in-hand>
        {decision === null
          ? <span class="faint">{waiting.length === 0 ? 'no request in hand' : 'all engines are at T: requests wait'}</span>
          : <><span class="number">Request {decision.request}</span><Blocks request={decision.request} matched={decision.matched} /></>}
      </div>
      <p class="caption">{waiting.length === 0 ? 'queue: empty' : `queue: ${waiting.length} wait`}</p>
      <ol class="queue" aria-hidden="true">
        {waiting.slice(0, DRAWN).map((request) => <li key={request}><span class="number">{request}</span><Bar request={request} /></li>)}
        {waiting.length > DRAWN && <li class="faint">and {waiting.length - DRAWN} more</li>}
      </ol>
    </div>
  );
}
