/** Why a connection between ranks was closed: the code and reason of WebSocket's closing handshake. */
import { RankError } from '../../errors.ts';
import { LINK_CUT } from '../pulse.ts';
import { farewell } from '../in-process-messenger.ts';

export const CLOSE = {
  /** All is well: the rank is done. */
  goodbye: 1000,
  /** WebSocket's own codes, in the cases that are checked here. */
  protocol: 1002,
  unexpectedData: 1003,
  /** No closing handshake: what sockets that just end are counted as. */
  cut: 1006,
  tooBig: 1009,
  badFrame: 4000,
  badControl: 4001,
  refused: 4002,
  /** The rank gives up; the reason is its error, "rank N: why" where another is at fault. */
  failed: 4003,
  silent: 4004,
} as const;

/** How a connection ended, seen from one side. */
export interface LinkEnd {
  readonly code: number;
  readonly reason: string;
}

/** What came over a link broke the rules: the connection is closed with this code and reason. */
export class LinkError extends Error {
  override name = 'LinkError';
  constructor(readonly code: number, reason: string) {
    super(reason);
  }
}

/** WebSocket allows 123 bytes. */
const MAX_REASON_BYTES = 123;

export function clipReason(reason: string): string {
  let clipped = reason.slice(0, MAX_REASON_BYTES);
  while (Buffer.byteLength(clipped) > MAX_REASON_BYTES) clipped = clipped.slice(0, -1);
  return clipped;
}

/** What the peers of a rank that closes its links are told. */
export function farewellEnd(reason?: Error): LinkEnd {
  return reason === undefined ? { code: CLOSE.goodbye, reason: '' } : { code: CLOSE.failed, reason: clipReason(reason.message) };
}

/** The error of everybody who waits for `peer`. */
export function errorOfEnd(peer: number, { code, reason }: LinkEnd): RankError {
  if (code === CLOSE.goodbye) return new RankError(peer, farewell(''));
  if (code === CLOSE.failed) return new RankError(peer, farewell(reason));
  if (code === CLOSE.silent) return new RankError(peer, reason);
  return new RankError(peer, `${LINK_CUT}: ${code}${reason === '' ? '' : ` ${reason}`}`);
}

/** The same, but of a rank that gave up because of another that other one's. */
export function faultOfEnd(peer: number, end: LinkEnd): RankError {
  const [, rank, problem] = (end.code === CLOSE.failed && /^rank (\d+): (.*)$/s.exec(end.reason)) || [];
  return problem === undefined ? errorOfEnd(peer, end) : new RankError(Number(rank), problem);
}
