/** Places intervals of the device's clock on the host's. */

/**
 * The two clocks differ by an offset that nobody tells. Work cannot be seen to end before it ended: of all sightings the one with the
 * smallest distance is nearest to the truth (late by one wait, about a millisecond).
 */
export class DeviceClock {
  #offsetMs = Infinity;

  /** The host learned at `hostMs` that the device had finished at `deviceMs`. */
  sighted(deviceMs: number, hostMs: number): void {
    this.#offsetMs = Math.min(this.#offsetMs, hostMs - deviceMs);
  }

  /** On the host's `performance.now()`. Needs a sighting. */
  toHost(deviceMs: number): number {
    return deviceMs + this.#offsetMs;
  }
}
