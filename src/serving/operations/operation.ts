/** One thing that clients can ask for: what HTTP serves at a path and what a line of a batch file names as its `url`. */
import type { z } from 'zod';
import type { ModelTokenizer } from '../../model/tokenizer.ts';
import type { ModelConfig } from '../../model/types.ts';
import type { Service } from '../service.ts';

/** The model behind the server, and what it was started with. */
export interface ServedModel {
  /** What clients call it. */
  readonly id: string;
  /** Epoch seconds. */
  readonly created: number;
  readonly config: ModelConfig;
  readonly tokenizer: ModelTokenizer;
  /** Longest prompt that is taken, tokens; at most the model's positions. */
  readonly maxPromptTokens: number;
  /** Labels and template of classification where a request names none. */
  readonly labels?: readonly string[];
  readonly template?: string;
  /** Requests with a template of their own are refused: rendering one may cost anything. Taken when absent. */
  readonly refuseTemplates?: boolean;
  /** Most prompts of one request; {@link MAX_PROMPTS} of asking.ts when absent. */
  readonly maxPrompts?: number;
}

export interface OperationContext {
  readonly service: Pick<Service, 'submit'>;
  readonly model: ServedModel;
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
}

export interface Operation {
  readonly name: string;
  /** `/v1/completions`, say; always asked by POST. */
  readonly path: string;
  readonly summary: string;
  readonly body: z.ZodType;
  readonly response: z.ZodType;
  /**
   * @param body as `body` parsed it
   * @throws InputError for what the model cannot answer, and what `Service.submit` throws
   */
  run(body: unknown, context: OperationContext): Promise<unknown>;
}
