/** The rotary settings of config.json, as transformers 4 (`rope_theta`, `rope_scaling`) and 5 (`rope_parameters`) write them. */
import * as z from 'zod';
import { InputError } from '../errors.ts';
import { field, isNumber, parseWith } from './fields.ts';
import { show } from './files.ts';
import { yarnAttentionFactor } from './rope.ts';
import type { RopeScaling } from './types.ts';

const positive = field<number>('a number above 0', (value) => isNumber(value) && value > 0);
const betaField = field<number | null>('a number of rotations, or null', (value) => value === null || isNumber(value));
const mscaleField = field<number | null>('a number, or null', (value) => value === null || isNumber(value));

/** Strict: a key that we do not know might change the rotation. */
const ropeSchema = z.strictObject({
  rope_type: z.unknown().optional(),
  type: z.unknown().optional(),
  rope_theta: positive.optional(),
  factor: positive.nullish(),
  original_max_position_embeddings: field<number | null>(
    'a positive integer, or null', (value) => value === null || (Number.isInteger(value) && (value as number) > 0)).optional(),
  attention_factor: field<number | null>('a number above 0, or null', (value) => value === null || (isNumber(value) && value > 0)).optional(),
  beta_fast: betaField.optional(),
  beta_slow: betaField.optional(),
  mscale: mscaleField.optional(),
  mscale_all_dim: mscaleField.optional(),
  truncate: field<boolean>('true or false', (value) => typeof value === 'boolean').optional(),
  partial_rotary_factor: field<1>('1 (partial rotation is not supported)', (value) => value === 1).nullish(),
});
type RopeFields = z.infer<typeof ropeSchema>;

/** The parts of config.json that concern the rotation, still unchecked. */
export interface RawRope {
  readonly rope_theta?: number | undefined;
  readonly rope_scaling?: unknown;
  readonly rope_parameters?: unknown;
  readonly original_max_position_embeddings?: unknown;
  readonly max_position_embeddings: number;
}

/**
 * Base and scaling of the rotation.
 * @throws InputError for scaling kinds other than linear and yarn, for unknown keys and for contradictions
 */
export function parseRope(raw: RawRope, source: string): { theta: number; scaling: RopeScaling | null } {
  const { key, fields } = ropeFields(raw, source);
  const kind = ropeKind(fields, source, key);
  const theta = ropeTheta(raw, fields, source, key);
  if (kind === 'default') return { theta, scaling: null };
  if (kind === 'linear') return { theta, scaling: { kind, factor: required(fields.factor, source, `${key}.factor`) } };
  return { theta, scaling: yarn(raw, fields, source, key) };
}

/** Both spellings may stand beside each other only when they say the same. */
function ropeFields(raw: RawRope, source: string): { key: string; fields: RopeFields } {
  const given = (['rope_scaling', 'rope_parameters'] as const).filter((name) => raw[name] != null);
  if (given.length === 2 && JSON.stringify(raw.rope_scaling) !== JSON.stringify(raw.rope_parameters)) {
    throw new InputError(source, 'rope_scaling', 'contradicts rope_parameters; expected one of the two');
  }
  const key = given[0] ?? 'rope_scaling';
  return { key, fields: parseWith(ropeSchema, raw[key] ?? {}, source, key) };
}

function ropeKind(fields: RopeFields, source: string, key: string): 'default' | 'linear' | 'yarn' {
  const { rope_type: newer, type: older } = fields;
  if (newer != null && older != null && newer !== older) {
    throw new InputError(source, `${key}.rope_type`, `${show(newer)} contradicts type ${show(older)}; expected one of the two`);
  }
  // Without a type transformers 5 rotates plainly and transformers 4 fails: refuse what would be ignored.
  const kind = newer ?? older ?? (fields.factor == null ? 'default' : undefined);
  if (kind === 'default' || kind === 'linear' || kind === 'yarn') return kind;
  throw new InputError(source, `${key}.rope_type`, `expected "default", "linear" or "yarn", got ${show(kind)}`);
}

function ropeTheta(raw: RawRope, fields: RopeFields, source: string, key: string): number {
  if (raw.rope_theta !== undefined && fields.rope_theta !== undefined && raw.rope_theta !== fields.rope_theta) {
    throw new InputError(source, 'rope_theta', `${raw.rope_theta} contradicts ${key}.rope_theta ${fields.rope_theta}; expected one of the two`);
  }
  const theta = fields.rope_theta ?? raw.rope_theta ?? 10_000;
  if (theta <= 1) throw new InputError(source, 'rope_theta', `expected a number above 1, got ${theta}`);
  return theta;
}

function yarn(raw: RawRope, fields: RopeFields, source: string, key: string): RopeScaling {
  const original = fields.original_max_position_embeddings ?? raw.max_position_embeddings;
  const outer = raw.original_max_position_embeddings;
  if (outer != null && outer !== original) {
    // transformers 5 lets the outer field win, transformers 4 ignores it.
    throw new InputError(source, 'original_max_position_embeddings', `${show(outer)} contradicts ${key} (${original}); expected it inside ${key} only`);
  }
  if (fields.factor === undefined) required(fields.factor, source, `${key}.factor`);
  const factor = fields.factor ?? raw.max_position_embeddings / original;
  return {
    kind: 'yarn',
    factor,
    originalMaxPositionEmbeddings: original,
    // `or` in the source: null and 0 mean the default.
    betaFast: fields.beta_fast || 32,
    betaSlow: fields.beta_slow || 1,
    truncate: fields.truncate ?? true,
    attentionFactor: fields.attention_factor ?? yarnAttentionFactor(factor, fields.mscale ?? null, fields.mscale_all_dim ?? null),
  };
}

function required(value: number | null | undefined, source: string, name: string): number {
  if (value == null) throw new InputError(source, name, `expected a number above 0, got ${show(value)}`);
  return value;
}
