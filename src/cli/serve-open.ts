/** From flags to a service on running engines: what `serve` puts HTTP before, and others something else. */
import { readFile } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { type EnginePool, launchEnginePool } from '../cluster/index.ts';
import { InputError } from '../errors.ts';
import { saveTuning } from '../node/tuning-cache.ts';
import { createService } from '../serving/live-service.ts';
import type { ServedModel } from '../serving/operations/operation.ts';
import { taskFor } from '../serving/operations/tasks.ts';
import { requestFlops } from '../serving/request-flops.ts';
import { expertFill, saturate, saturationWarning, type LargestBatch, type Saturation } from '../serving/saturation.ts';
import { createScheduler } from '../serving/scheduler.ts';
import type { Service } from '../serving/service.ts';
import { clusterOptions } from './cluster-options.ts';
import type { ChosenModel } from './model-source.ts';
import type { RunOptions } from './options.ts';
import type { Progress } from './progress.ts';
import type { RequestFlags, SchedulingFlags } from './serve-options.ts';

/** Engines with a service before them. */
export interface OpenService {
  readonly service: Service;
  readonly pool: EnginePool;
  readonly saturation: Saturation;
  /** What to tell where no batch can reach T; null where one can. */
  readonly warning: string | null;
}

/**
 * The model as requests see it.
 * @throws InputError for flags that no request could be answered with
 */
export async function openModel(model: ChosenModel, flags: RequestFlags & { readonly model: string }): Promise<ServedModel> {
  const { config } = model;
  const { labels, maxPrompts, maxPromptTokens = config.maxPositionEmbeddings } = flags;
  if (maxPromptTokens > config.maxPositionEmbeddings) {
    throw new InputError('--max-prompt-tokens', String(maxPromptTokens), `expected at most ${config.maxPositionEmbeddings} (max_position_embeddings)`);
  }
  const template = flags.template === undefined ? undefined : await readFile(flags.template, 'utf8').catch(() => {
    throw new InputError('--template', flags.template!, 'cannot be read; expected a file with a Jinja template');
  });
  const served: ServedModel = {
    id: flags.modelId ?? basename(resolve(flags.model)), created: Math.floor(Date.now() / 1000), config, tokenizer: await model.tokenizer(), maxPromptTokens, maxPrompts,
    ...(labels !== undefined && { labels }), ...(template !== undefined && { template }),
  };
  // Refused now rather than with the first request.
  if (labels !== undefined) taskFor({ kind: 'classify', labels, template, labelsSource: '--labels', templateSource: flags.template ?? '--template' }, served);
  else if (template !== undefined) throw new InputError('--template', '', 'needs --labels with it: it is that of /v1/classify');
  return served;
}

/** The batch with the most work that the flags allow. */
function largestBatch({ config }: ChosenModel, { batchTokens }: RunOptions): LargestBatch {
  const tokens = Math.max(1, batchTokens);
  return { tokens, flops: requestFlops(config)({ newTokens: tokens }) };
}

/**
 * Launches the engines, measures them and begins to serve.
 * @param timeline record the last passes
 */
export async function openService(model: ChosenModel, flags: RunOptions & SchedulingFlags, progress: Progress, timeline: boolean): Promise<OpenService> {
  const pool = await launchEnginePool({
    ...(await clusterOptions(model, flags)), onTuning: (tuning) => void saveTuning(tuning), trace: timeline,
    onProgress: ({ phase, done, total }) => progress.update(phase === 'loading' ? 'loading' : 'warming up', done, total),
  });
  progress.stop();
  try {
    return serveOn(pool, model, flags);
  } catch (error) {
    await pool.close();
    throw error;
  }
}

function serveOn(pool: EnginePool, model: ChosenModel, flags: RunOptions & SchedulingFlags): OpenService {
  const { config } = model;
  const largest = largestBatch(model, flags);
  const moeLayers = config.layerIsMoe.filter(Boolean).length;
  const flopsOf = requestFlops(config);
  const fill = expertFill(config, flags.fillRows, (newTokens) => flopsOf({ newTokens }));
  const saturation = saturate({ engines: pool.engines, moeLayers, mode: flags.saturation, gamma: flags.gamma, largestBatch: largest, ...(fill && { fill }) });
  const service = createService({
    pool, config, saturation, scheduler: flags.scheduler, batchTokens: flags.batchTokens, maxWaitMs: flags.maxWait, maxWaiting: flags.maxQueue, createScheduler,
  });
  return { service, pool, saturation, warning: saturationWarning(saturation, largest) };
}
