/** Says what happened at a moment of a run, for people. Pure. */
import { gathers } from '../../../../src/serving/scheduling.ts';
import type { FrontendRun, Moment, Pass, Queued, Routed } from './moments.ts';
import { lookOf } from './prefixes.ts';
import { blocksOf } from './view.ts';

/** `engines 0, 2 and 3`. */
function engineList(engines: readonly number[]): string {
  if (engines.length === 1) return `engine ${engines[0]}`;
  return `engines ${engines.slice(0, -1).join(', ')} and ${engines.at(-1)}`;
}

const count = (number: number, thing: string): string => `${number} ${thing}${number === 1 ? '' : thing.endsWith('batch') ? 'es' : 's'}`;

const timesT = ({ scene }: FrontendRun, flops: number): string => `${(flops / scene.threshold).toFixed(2)} T`;

/** `Request 17 (prefix A, blue)`. */
export function requestName({ arrivals }: FrontendRun, request: number): string {
  const { letter, colour } = lookOf((arrivals[request] as FrontendRun['arrivals'][number]).prefix);
  return `Request ${request} (prefix ${letter}, ${colour})`;
}

/** Engines that would have saved more of a request than the one it went to: they were saturated, had no room, or nobody asked. */
export const passedOver = ({ matches, matched }: Routed): number[] =>
  matches.flatMap((other, engine) => (other > matched ? [engine] : []));

/** Whether a hot prefix's request went elsewhere because who knows the prefix was at T. */
export const isSpill = (run: FrontendRun, moment: Moment): moment is Routed =>
  moment.kind === 'routed' && gathers(run.settings.scheduler) && passedOver(moment).length > 0;

function spillSentence(run: FrontendRun, routed: Routed): string {
  const better = passedOver(routed);
  const known = Math.max(...better.map((engine) => routed.matches[engine] as number));
  const all = blocksOf(run, routed.request);
  const atT = better.every((engine) => (routed.loads[engine] as number) >= run.scene.threshold) ? 'at T' : 'full';
  const who = `${requestName(run, routed.request)} spills over: ${engineList(better)} ${better.length === 1 ? 'knows' : 'know'} ${known} of its ${all} blocks, but ${better.length === 1 ? 'is' : 'are'} ${atT}.`;
  if (routed.matched > 0) return `${who} It goes to engine ${routed.engine}, which knows ${routed.matched}.`;
  return `${who} It goes to engine ${routed.engine}, which computes the prefix once and has it from then on.`;
}

function prefixSentence(run: FrontendRun, routed: Routed): string {
  const { request, engine, matched, matches } = routed;
  if (isSpill(run, routed)) return spillSentence(run, routed);
  if (matched === 0) return `${requestName(run, request)}: no engine knows its prefix, so it goes to engine ${engine}, which has the smallest load.`;
  const others = matches.filter((other) => other === matched).length > 1 ? ', as on others that have more to do' : '';
  return `${requestName(run, request)}: ${matched} of its ${blocksOf(run, request)} blocks are known on engine ${engine}${others}. It goes there.`;
}

function baselineSentence(run: FrontendRun, routed: Routed): string {
  const { request, engine, matched } = routed;
  const better = passedOver(routed);
  const known = Math.max(...better.map((other) => routed.matches[other] as number));
  const lost = better.length === 0 ? '' : ` There are ${known} on ${engineList(better)}, but this scheduler does not look.`;
  return `${requestName(run, request)} goes into the next batch of engine ${engine}, where ${matched} of its ${blocksOf(run, request)} blocks are known.${lost}`;
}

function queuedSentence(run: FrontendRun, { request, engine }: Queued): string {
  const why = run.settings.scheduler === 'random' ? 'drawn by lot' : 'which has the fewest requests';
  return `${requestName(run, request)} joins the queue of engine ${engine}, ${why}. It stays there.`;
}

function leftSentence(run: FrontendRun, { engine, requests, reckonedFlops, saturated, leftMs }: Pass): string {
  const batch = `A batch of engine ${engine} leaves: ${count(requests.length, 'request')}, ${timesT(run, reckonedFlops)}`;
  if (!gathers(run.settings.scheduler)) return `${batch}. This scheduler knows no T: it takes what is there.`;
  if (saturated) return `${batch}.`;
  const nothingMore = leftMs >= (run.arrivals.at(-1)?.arrivalMs ?? Infinity);
  return `${batch}: below T, because ${nothingMore ? 'nothing more will come' : 'its first request has waited long enough'}.`;
}

function startedSentence({ engine, requests, exposedMs }: Pass): string {
  const waits = exposedMs > 0 ? ` It has too little work to hide its gathers: ${exposedMs.toFixed(0)} ms of waiting for experts.` : '';
  return `Engine ${engine} computes its batch of ${count(requests.length, 'request')}.${waits}`;
}

function endedSentence({ engine, requests, events }: Pass): string {
  return `Engine ${engine} has answered ${count(requests.length, 'request')}; its cache has ${count(events.materialised.length, 'new block')}.`;
}

/** One or two sentences. */
export function sentenceOf(run: FrontendRun, moment: Moment): string {
  switch (moment.kind) {
    case 'arrived': return `${requestName(run, moment.request)} arrives${moment.waits ? ' and waits: no engine takes more now' : ''}.`;
    case 'queued': return queuedSentence(run, moment);
    case 'routed': return gathers(run.settings.scheduler) ? prefixSentence(run, moment) : baselineSentence(run, moment);
    case 'saturated': return `Engine ${moment.engine} is at T (${timesT(run, moment.flops)}): its batch takes no more.`;
    case 'left': return leftSentence(run, moment.pass);
    case 'started': return startedSentence(moment.pass);
    case 'ended': return endedSentence(moment.pass);
    case 'evicted': return `The cache of engine ${moment.pass.engine} was full: it forgot ${count(moment.pass.events.evicted.length, 'block')} that nobody had used for the longest time.`;
    default: return moment satisfies never;
  }
}
