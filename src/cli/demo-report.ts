/** What the demo ends with. */
import { drawSchedule, middleOfRun } from '../trace/picture.ts';
import type { TraceEvent } from '../trace/events.ts';
import type { Mail } from './demo.ts';
import { formatCount, formatFlops, formatPercent, oneLine } from './format.ts';
import type { SessionStats } from './session.ts';
import { newTable } from './table.ts';
import type { Verdict } from './task-run.ts';

export interface DemoFacts {
  readonly mails: readonly Mail[];
  readonly verdicts: ReadonlyMap<string, Verdict>;
  readonly stats: SessionStats;
  readonly events: readonly TraceEvent[];
  readonly ranks: number;
  /** Of each adapter that computed, measured alone. FLOP/s, summed. */
  readonly matmulFlopsPerSecond: number;
  readonly timeline: string;
}

/** Mails that the table shows. */
const SHOWN = 12;

type Judged = Mail & { readonly verdict: Verdict };

const isRight = ({ value, verdict }: Judged): boolean => verdict.answer === value.label;

/** Some of each kind: all that are wrong come first, then mails evenly spread. */
function chosen(judged: readonly Judged[]): Judged[] {
  const wrong = judged.filter((mail) => !isRight(mail)).slice(0, 3);
  const right = judged.filter(isRight);
  const step = Math.max(1, Math.floor(right.length / (SHOWN - wrong.length)));
  return [...wrong, ...right.filter((_, index) => index % step === 0)].slice(0, SHOWN);
}

function mailTable(judged: readonly Judged[]): string {
  const rows = newTable(['subject', 'answer', 'probability', 'truth', '']);
  for (const mail of chosen(judged)) {
    const subject = oneLine((mail.value.text.split('\n', 1)[0] ?? '').replace(/^Subject: /, ''), 50);
    rows.push([subject, mail.verdict.answer, formatPercent(mail.verdict.probability), mail.value.label, isRight(mail) ? '' : 'wrong']);
  }
  return rows.toString();
}

function figures({ stats, ranks, matmulFlopsPerSecond }: DemoFacts, judged: readonly Judged[]): string[] {
  const right = judged.filter(isRight).length;
  const rate = stats.flops / stats.seconds;
  const copyShare = stats.copyMs / 1000 / stats.seconds / ranks;
  return [
    `accuracy            ${formatPercent(right / judged.length)} (${right} of ${judged.length} held-out mails)`,
    `throughput          ${formatCount(stats.tokens / stats.seconds)} tokens/s (${formatCount(stats.tokens)} tokens in ${stats.seconds.toFixed(1)} s, ${ranks} ranks)`,
    `MFU                 ${formatPercent(rate / matmulFlopsPerSecond)} (${formatFlops(rate)} of ${formatFlops(matmulFlopsPerSecond)}, the adapter's measured matmul rate)`,
    `overlap efficiency  ${formatPercent(stats.overlapEfficiency)} of the gather time did not leave the device idle; copies to the slots take ${formatPercent(copyShare)} of its time`,
  ];
}

/** Table, figures, picture and the path of the timeline. */
export function describeDemo(facts: DemoFacts): string {
  const judged = facts.mails.flatMap((mail): Judged[] => {
    const verdict = facts.verdicts.get(mail.id);
    return verdict === undefined ? [] : [{ ...mail, verdict }];
  });
  const picture = drawSchedule(facts.events, { ...middleOfRun(facts.events), columns: 84 });
  return `${[
    mailTable(judged),
    ...figures(facts, judged),
    ...(picture === '' ? [] : ['', 'layers of one pass, the experts of the next ones on their way meanwhile:', picture]),
    '',
    `timeline            ${facts.timeline} (open it in ui.perfetto.dev)`,
  ].join('\n')}\n`;
}
