/** Everything that clients can ask for. */
import { classify } from './classify.ts';
import { completions } from './completions.ts';
import { decisions } from './decisions.ts';
import { generativeScoring } from './generative-scoring.ts';
import type { Operation } from './operation.ts';
import { rerank } from './rerank.ts';
import { score } from './score.ts';

export { parseBody } from './parse.ts';
export { failureOf, type Failure } from './failure.ts';

export const OPERATIONS: readonly Operation[] = [completions, classify, rerank, score, generativeScoring, decisions];

/** Other paths of the same, as clients of vLLM, Jina and Cohere have them. */
export const ALIASES: Readonly<Record<string, string>> = {
  '/classify': classify.path,
  '/rerank': rerank.path,
  '/v2/rerank': rerank.path,
  '/score': score.path,
  '/v1/generative_scoring': generativeScoring.path,
};

/** The operation at a path or one of its aliases. */
export const operationAt = (path: string): Operation | undefined =>
  OPERATIONS.find((operation) => operation.path === (ALIASES[path] ?? path));
