/** What ranks say to each other beside payloads: JSON, checked before it is looked at. */
import { z } from 'zod';
import type { ShardGeometry } from '../transport.ts';
import { CLOSE, LinkError } from './close.ts';

/** Both ends must speak the same. */
export const PROTOCOL_VERSION = 1;
/** WebSocket's name for it. */
export const SUBPROTOCOL = `asyncep.${PROTOCOL_VERSION}`;

const u32 = z.number().int().min(0).max(2 ** 32 - 1);
const bytes = z.number().int().nonnegative();

const geometrySchema = z.strictObject({
  modelHash: z.string().max(256),
  dtype: z.string().max(16),
  world: u32,
  numExperts: u32,
  expertBytes: bytes,
  layers: z.array(u32).max(4096),
});

const controlSchema = z.discriminatedUnion('type', [
  /** The client's first: of weights, the shards it expects. */
  z.strictObject({ type: z.literal('hello'), geometry: geometrySchema.optional() }),
  /** The server's answer. */
  z.strictObject({ type: z.literal('welcome') }),
  /** A credit: the client takes all that reaches this server of one layer. */
  z.strictObject({ type: z.literal('want'), gather: u32, layer: u32 }),
]);

export type Control = z.infer<typeof controlSchema>;

/** No control message is near this. */
export const MAX_CONTROL_BYTES = 64 << 10;

export const encodeControl = (message: Control): string => JSON.stringify(message);

/** @throws LinkError saying what is malformed */
export function decodeControl(text: string): Control {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new LinkError(CLOSE.badControl, 'control message: broken JSON');
  }
  const parsed = controlSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new LinkError(CLOSE.badControl, `control message: ${issue?.path.join('.') || 'type'}: ${issue?.message ?? 'malformed'}`);
}

/** The fields of a geometry that matter to the bytes, as they travel. */
export const describeGeometry = ({ modelHash, dtype, world, numExperts, expertBytes, layers }: ShardGeometry): z.infer<typeof geometrySchema> =>
  ({ modelHash, dtype, world, numExperts, expertBytes, layers: [...layers] });

/** @throws LinkError naming the first field in which the peer's shards are not this rank's */
export function checkGeometry(found: ShardGeometry | undefined, expected: ShardGeometry | null): void {
  if (expected === null) throw new LinkError(CLOSE.refused, 'nothing was published here yet');
  const [theirs, ours] = [found, describeGeometry(expected)];
  for (const field of ['modelHash', 'dtype', 'world', 'numExperts', 'expertBytes', 'layers'] as const) {
    const [is, wanted] = [JSON.stringify(theirs?.[field]), JSON.stringify(ours[field])];
    if (is !== wanted) throw new LinkError(CLOSE.refused, `${field} is ${is}; expected ${wanted}`);
  }
}
