/// <reference types="vite/client" />
/** The WGSL templates of `shaders/`, put into the bundle as they are: the tab renders the same text as a server. */
import { AsyncepError } from '../../../../src/errors.ts';

const FOLDER = '../../../../shaders/';
const texts = import.meta.glob<string>('../../../../shaders/**/*.wgsl', { query: '?raw', import: 'default', eager: true });

/** Text of `shaders/<name>.wgsl`. @throws AsyncepError when there is no such template */
export function readShader(name: string): string {
  const text = texts[`${FOLDER}${name}.wgsl`];
  if (text === undefined) throw new AsyncepError(`shader template ${name}: not in this page`);
  return text;
}
