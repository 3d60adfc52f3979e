/** The coordinator's side of one rank: messages out, replies in, and an eye on whether it lives. */
import type { ChildProcess } from 'node:child_process';
import { Pulse } from '../collective/pulse.ts';
import { type AsyncepError, RankError } from '../errors.ts';
import type { ClusterOptions } from './options.ts';
import { reviveFailure } from './failure.ts';
import { fromRankSchema, type FromRank, type ToRank } from './messages.ts';
import { spawnRank } from './spawn.ts';

export type Reply<T extends FromRank['type']> = Extract<FromRank, { type: T }>;

export interface RankEvents {
  /** `progress` and `trace`. */
  message(message: Reply<'progress'> | Reply<'trace'>): void;
  /** The rank is of no more use; called once. */
  failed(error: AsyncepError): void;
}

/** Lines of standard error kept for the message of a crash. */
const STDERR_LINES = 20;
/** A process that is only just being born may take its time on a busy machine. */
const BIRTH_MS = 60_000;
/** A driver that compiles may block a rank for a while. */
const START_SILENCE_MS = 60_000;
/** A pass, or a step of starting in which nothing is heard of progress, may take so long. */
const STEP_MS = 600_000;
const DRIVER_NOISE = /artificially reduced from/;

interface Expected {
  /** What the process is busy with, for messages. */
  readonly doing: string;
  /** Ends the wait when the rank lives but does not get anywhere; begins anew with each progress. */
  readonly limit: NodeJS.Timeout;
  resolve(message: FromRank): void;
  reject(error: Error): void;
}

/** Several passes may be under way; all other steps come one by one. */
const replyKey = (type: FromRank['type'], message: ToRank | FromRank): string => ('pass' in message ? `${type} ${message.pass}` : type);

export class RankProcess {
  readonly pid: number;
  /** Resolves when the process is gone. */
  readonly gone: Promise<void>;
  readonly #child: ChildProcess;
  readonly #stderr: string[] = [];
  /** Ends the rank when it gives no sign of life. */
  #pulse: Pulse;
  /** Replies that are due, by {@link replyKey}. */
  readonly #expected = new Map<string, Expected>();
  #silenceMs: number;
  readonly #passMs: number;
  #born = false;
  #error: AsyncepError | null = null;
  /** Why it was told to end; what ends afterwards is no failure of the rank. */
  #ending: AsyncepError | null = null;

  /** @param silenceMs of the options: how long a living rank may be silent (it gives a sign of life twice a second) */
  constructor(
    readonly rank: number,
    { ranks, backendModule, silenceMs = START_SILENCE_MS, passDeadlineMs = STEP_MS, hosts = [] }: Pick<ClusterOptions, 'ranks' | 'backendModule' | 'silenceMs' | 'passDeadlineMs' | 'hosts'>,
    private readonly events: RankEvents,
  ) {
    this.#silenceMs = silenceMs;
    this.#passMs = passDeadlineMs;
    this.#child = spawnRank(ranks, backendModule, hosts[rank % Math.max(1, hosts.length)]?.command);
    this.pid = this.#child.pid ?? -1;
    this.gone = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        this.#onExit(code, signal);
        resolve();
      });
      this.#child.once('error', (error) => {
        this.#fail(new RankError(rank, `could not be started: ${error.message}`));
        resolve();
      });
    });
    this.#child.on('message', (message) => this.#onMessage(message));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#onStderr(text));
    this.#pulse = this.#watch(Math.max(silenceMs, BIRTH_MS));
  }

  /** The rank can do no more. */
  get failed(): boolean {
    return this.#error !== null;
  }

  get #doing(): string {
    return [...this.#expected.values()][0]?.doing ?? 'waiting for work';
  }

  /** Sends a message that has no reply. */
  tell(message: ToRank): void {
    if (this.#error === null && this.#child.connected) this.#child.send(message, () => undefined);
  }

  /**
   * Sends `message` and waits for the reply of type `type` (of the same pass).
   * @param doing what the rank is busy with until then, for messages
   * @throws RankError (or what the rank reported) when none comes; InputError for a pass that the rank cannot run
   */
  ask<T extends FromRank['type']>(message: ToRank, type: T, doing: string): Promise<Reply<T>> {
    const over = this.#error ?? this.#ending;
    if (over !== null) return Promise.reject(over);
    const reply = new Promise<FromRank>((resolve, reject) => {
      const limitMs = message.type === 'pass' ? this.#passMs : STEP_MS;
      const limit = setTimeout(() => this.#fail(new RankError(this.rank, `${doing} was not over after ${limitMs / 1000} s`)), limitMs).unref();
      this.#expected.set(replyKey(type, message), { doing, limit, resolve, reject });
    });
    this.tell(message);
    return reply as Promise<Reply<T>>;
  }

  /** Lets the rank end on its own. @param reason what those who still wait for a reply are told */
  close(reason: AsyncepError): void {
    this.#ending ??= reason;
    this.tell({ type: 'close' });
  }

  /** Ends the process at once. @param reason as for {@link close} */
  kill(reason: AsyncepError): void {
    this.#ending ??= reason;
    this.#pulse.stop();
    this.#child.kill('SIGKILL');
  }

  #onMessage(raw: unknown): void {
    this.#pulse.heard();
    if (!this.#born) this.#watchAnew();
    this.#born = true;
    const parsed = fromRankSchema.safeParse(raw);
    if (!parsed.success) return this.#fail(new RankError(this.rank, `sent a malformed message: ${parsed.error.issues[0]?.message ?? ''}`));
    const message = parsed.data;
    if (message.type === 'heartbeat') return;
    if (message.type === 'failed') return this.#fail(reviveFailure(this.rank, message.error));
    if (message.type === 'refused') return this.#onRefused(message);
    if (message.type === 'progress') for (const { limit } of this.#expected.values()) limit.refresh();
    if (message.type === 'progress' || message.type === 'trace') return this.events.message(message);
    this.#take(message.type, message)?.resolve(message);
  }

  /** A pass that cannot be run; the rank goes on. */
  #onRefused(message: Reply<'refused'>): void {
    this.#take('result', message)?.reject(reviveFailure(this.rank, message.error));
  }

  /** Whoever waits for a reply of `type`, which has come. */
  #take(type: FromRank['type'], message: FromRank): Expected | undefined {
    const key = replyKey(type, message);
    const expected = this.#expected.get(key);
    if (expected === undefined) this.#fail(new RankError(this.rank, `answered "${message.type}" while ${this.#doing}`));
    else clearTimeout(expected.limit);
    this.#expected.delete(key);
    return expected;
  }

  #onStderr(text: string): void {
    for (const line of text.split('\n')) if (line.trim() !== '' && !DRIVER_NOISE.test(line)) this.#stderr.push(line);
    this.#stderr.splice(0, this.#stderr.length - STDERR_LINES);
  }

  #onExit(code: number | null, signal: string | null): void {
    this.#pulse.stop();
    if (this.#ending !== null) return this.#rejectAll(this.#ending);
    const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
    const said = this.#stderr.length === 0 ? '' : `; it said:\n${this.#stderr.join('\n')}`;
    this.#fail(new RankError(this.rank, `ended with ${how} while ${this.#doing}${said}`));
  }

  /** From now on a rank may be silent for so long and no longer. */
  expectSigns(silenceMs: number): void {
    this.#silenceMs = Math.min(this.#silenceMs, silenceMs);
    this.#watchAnew();
  }

  #watch(silenceMs: number): Pulse {
    return new Pulse(silenceMs, () => undefined, (silentMs) => {
      this.#fail(new RankError(this.rank, `gave no sign of life for ${(silentMs / 1000).toFixed(1)} s while ${this.#doing}`));
    });
  }

  /** With {@link RankProcess.#silenceMs} as it is now. */
  #watchAnew(): void {
    this.#pulse.stop();
    if (this.#error === null && this.#ending === null) this.#pulse = this.#watch(this.#silenceMs);
  }

  /** Ends the wait for a reply, too. */
  #fail(error: AsyncepError): void {
    if (this.#error !== null || this.#ending !== null) return;
    this.#error = error;
    this.#pulse.stop();
    this.#rejectAll(error);
    this.events.failed(error);
  }

  #rejectAll(error: AsyncepError): void {
    for (const { limit, reject } of this.#expected.values()) {
      clearTimeout(limit);
      reject(error);
    }
    this.#expected.clear();
  }
}
