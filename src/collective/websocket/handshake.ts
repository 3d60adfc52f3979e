/** The HTTP upgrade: who may connect, and what both ends say about themselves. */
import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Membership } from '../messenger.ts';
import { sameText } from '../token.ts';
import { SUBPROTOCOL } from './control.ts';

/** What a connection carries, from server to client. */
export type Purpose = 'weights' | 'messages';

export interface Visitor {
  readonly purpose: Purpose;
  readonly peer: number;
}

/** The upgrade is answered with this status and text instead. */
export class Refusal extends Error {
  override name = 'Refusal';
  constructor(readonly status: number, readonly reason: string) {
    super(`${status} ${reason}`);
  }
}

/**
 * Weights go to the next rank of the ring, messages to any other.
 * @throws Refusal saying what was expected
 */
export function checkUpgrade({ url, headers }: Pick<IncomingMessage, 'url' | 'headers'>, member: Membership): Visitor {
  const header = (name: string): string => String(headers[name] ?? '');
  // Nothing is told to those who do not have the token.
  if (!sameText(header('authorization'), `Bearer ${member.token}`)) throw new Refusal(401, 'the token is not that of this run');
  const expect = (what: string, found: string, expected: string | number): void => {
    if (found !== String(expected)) throw new Refusal(409, `${what} is ${JSON.stringify(found)}; expected "${expected}"`);
  };
  expect('subprotocol', header('sec-websocket-protocol'), SUBPROTOCOL);
  expect('run', header('x-asyncep-run'), member.runId);
  expect('world', header('x-asyncep-world'), member.world);
  const purpose = url === '/weights' || url === '/messages' ? (url.slice(1) as Purpose) : null;
  if (purpose === null) throw new Refusal(404, `nothing is at ${url}; expected /weights or /messages`);
  const text = header('x-asyncep-rank');
  if (purpose === 'weights') expect('rank', text, (member.rank + 1) % member.world);
  const peer = /^\d{1,3}$/.test(text) ? Number(text) : NaN;
  if (!(peer < member.world) || peer === member.rank) throw new Refusal(409, `rank is ${JSON.stringify(text)}; expected another than ${member.rank} of ${member.world}`);
  return { purpose, peer };
}

/** What this rank sends to be let in by another, and how it knows the answer. */
export interface UpgradeRequest {
  readonly text: string;
  /** The value of `Sec-WebSocket-Accept` that answers it. */
  readonly accept: string;
}

/** RFC 6455, section 1.3. */
const ACCEPT_SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

export function upgradeRequest({ runId, rank, world, token }: Membership, purpose: Purpose, host: string): UpgradeRequest {
  const key = randomBytes(16).toString('base64');
  const lines = [
    `GET /${purpose} HTTP/1.1`, `Host: ${host}`, 'Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${key}`, `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`, `Authorization: Bearer ${token}`,
    `X-Asyncep-Run: ${runId}`, `X-Asyncep-World: ${world}`, `X-Asyncep-Rank: ${rank}`,
  ];
  return { text: `${lines.join('\r\n')}\r\n\r\n`, accept: createHash('sha1').update(key + ACCEPT_SUFFIX).digest('base64') };
}

/** An answer is no longer than this. */
export const MAX_ANSWER_BYTES = 16 << 10;

/**
 * Looks at the answer to an upgrade.
 * @returns the bytes after it, or null while it is not whole
 * @throws Refusal with the server's status and text
 */
export function readAnswer(answer: Buffer, { accept }: UpgradeRequest): Buffer | null {
  const end = answer.indexOf('\r\n\r\n');
  if (end < 0) {
    if (answer.length > MAX_ANSWER_BYTES) throw new Refusal(0, 'it does not speak HTTP');
    return null;
  }
  const [status = '', ...lines] = answer.toString('latin1', 0, end).split('\r\n');
  const headers = new Map(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
  const rest = answer.subarray(end + 4);
  const [, code] = /^HTTP\/1\.1 (\d{3})(?: |$)/.exec(status) ?? [];
  if (code === undefined) throw new Refusal(0, 'it does not speak HTTP');
  if (code !== '101') {
    // Refusals are short, but may come in two parts.
    if (rest.length < Math.min(Number(headers.get('content-length') ?? 0), MAX_ANSWER_BYTES)) return null;
    throw new Refusal(Number(code), rest.toString('utf8'));
  }
  if (headers.get('sec-websocket-accept') !== accept || headers.get('sec-websocket-protocol') !== SUBPROTOCOL) {
    throw new Refusal(101, `it does not speak ${SUBPROTOCOL}`);
  }
  return rest;
}
