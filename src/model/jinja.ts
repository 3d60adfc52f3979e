/** Jinja templates with errors that name their file. Blocks are trimmed as transformers trims them (`trim_blocks`, `lstrip_blocks`). */
import { Template } from '@huggingface/jinja';
import { InputError } from '../errors.ts';

/** Renders with the given variables; an absent variable renders as nothing. */
export type JinjaTemplate = (variables: Readonly<Record<string, unknown>>) => string;

/** Compiles a template; `source` is what messages call it. */
export function compileJinja(text: string, source: string): JinjaTemplate {
  const template = guarded(source, 'is not a Jinja template', () => new Template(text));
  return (variables) => guarded(source, 'cannot be rendered', () => template.render(variables));
}

function guarded<T>(source: string, problem: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw new InputError(source, '', `${problem}: ${(error as Error).message}`);
  }
}
