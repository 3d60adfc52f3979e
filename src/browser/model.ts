/** A model folder on a web server, opened for use in a tab. */
import { openCheckpoint, type NameWeights } from '../model/checkpoint.ts';
import { sha256Hex } from '../model/hash.ts';
import { openTokenizer, type ModelTokenizer } from '../model/tokenizer.ts';
import type { ModelWeights } from '../model/types.ts';
import { openHttpFolder, type HttpFolder, type HttpFolderOptions } from './http-folder.ts';

export interface BrowserModel {
  /** For other files of the folder, a template say. */
  readonly files: HttpFolder;
  readonly weights: ModelWeights;
  readonly tokenizer: ModelTokenizer;
  /** Ends what is being fetched. */
  close(): Promise<void>;
}

/** Nobody else is there to compare names with: the headers will do, and save fetching every byte only to name it. */
const byHeaders: NameWeights = (_, config, shards) => sha256Hex(JSON.stringify([config, shards.map(({ path, bytes, headerHash }) => [path, bytes, headerHash])]));

/**
 * Reads configuration, tokenizer and the headers of the weights; no weight yet.
 * @param baseUrl the folder, absolute or relative to the page
 * @throws InputError naming the file, the field or tensor and what was expected
 */
export async function openBrowserModel(baseUrl: string | URL, options: HttpFolderOptions = {}): Promise<BrowserModel> {
  const files = openHttpFolder(new URL(baseUrl, globalThis.location?.href), options);
  const [weights, tokenizer] = await Promise.all([openCheckpoint(files, byHeaders), openTokenizer(files)]);
  return { files, weights, tokenizer, close: () => weights.close() };
}
