/** Who wants to know that a request was withdrawn. */

/** One listener a signal, however many requests it withdraws (all prompts of one HTTP request share theirs). */
export class Withdrawals<T> {
  readonly #bySignal = new Map<AbortSignal, { readonly members: Set<T>; readonly listener: () => void }>();

  /** @param withdraw told of each member when its signal is aborted */
  constructor(private readonly withdraw: (member: T) => void) {}

  add(signal: AbortSignal, member: T): void {
    const known = this.#bySignal.get(signal);
    if (known) {
      known.members.add(member);
      return;
    }
    const members = new Set([member]);
    const listener = (): void => {
      for (const member of members) this.withdraw(member);
    };
    this.#bySignal.set(signal, { members, listener });
    signal.addEventListener('abort', listener);
  }

  /** The member is answered: its signal says nothing any more. */
  delete(signal: AbortSignal, member: T): void {
    const known = this.#bySignal.get(signal);
    if (!known?.members.delete(member) || known.members.size > 0) return;
    signal.removeEventListener('abort', known.listener);
    this.#bySignal.delete(signal);
  }
}
