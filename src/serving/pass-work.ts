/** Requests to one pass, and its answer cut apart again. */
import type { PassAnswer, PassWork } from '../cluster/engine-pool.ts';
import type { TokenScores } from '../engine/index.ts';
import type { ServingRequest } from './requests.ts';

type Asked = Pick<ServingRequest, 'tokens' | 'candidates' | 'scored' | 'top'>;

/** A pass for all of `requests`: logits of every candidate that any of them asks for, in ascending order, and as many top tokens as the one that wants most. */
export function packWork(requests: readonly Asked[]): PassWork {
  const candidates = new Set<number>();
  for (const request of requests) for (const token of request.candidates) candidates.add(token);
  return {
    sequences: requests.map(({ tokens, scored = 0 }) => (scored === 0 ? { tokens } : { tokens, scored })),
    candidates: Uint32Array.from(candidates).sort(),
    top: requests.reduce((most, { scored = 0, top = 0 }) => (scored === 0 ? most : Math.max(most, top)), 0),
  };
}

/** What one request asked for. */
export interface OwnAnswer {
  readonly logits: Float32Array;
  readonly scores: TokenScores | null;
  readonly cachedTokens: number;
}

/** Each request's part of the answer to the pass that {@link packWork} made of them; nothing in it keeps the pass's own arrays alive. */
export function cutAnswers(requests: readonly Asked[], { candidates }: PassWork, { logits, scores, cachedTokens }: PassAnswer): OwnAnswer[] {
  const columns = new Map(Array.from(candidates, (token, column) => [token, column]));
  let position = 0;
  return requests.map((request, i) => {
    const row = i * candidates.length;
    const first = position;
    position += request.scored ?? 0;
    return {
      logits: Float32Array.from(request.candidates, (token) => logits[row + (columns.get(token) as number)] as number),
      scores: position === first || scores === null ? null : cutScores(scores, first, position, request.top ?? 0),
      cachedTokens: cachedTokens[i] as number,
    };
  });
}

/** Positions [first, end), the `top` most likely tokens of each. */
function cutScores(scores: TokenScores, first: number, end: number, top: number): TokenScores {
  const cut = <T extends Uint32Array | Float32Array>(from: T, to: T): T => {
    for (let position = first; position < end; position++) to.set(from.subarray(position * scores.top, position * scores.top + top), (position - first) * top);
    return to;
  };
  return {
    top,
    normalizers: scores.normalizers.slice(first, end),
    nextLogits: scores.nextLogits.slice(first, end),
    topTokens: cut(scores.topTokens, new Uint32Array((end - first) * top)),
    topLogits: cut(scores.topLogits, new Float32Array((end - first) * top)),
  };
}
