import { errorFields, type Log } from '../ports/log.ts';

/**
 * One log line when something is lost and one when it is back, however often it is tried in between, and whichever of
 * its users notices first. It is back when all of those say so that said it was lost.
 */
export class Outage {
  readonly #what: string;
  readonly #log: Log;
  readonly #users = new Set<string>();
  #since = 0;

  constructor(what: string, log: Log) {
    this.#what = what;
    this.#log = log;
  }

  /** @param user who cannot work without it */
  lost(user: string, error: unknown): void {
    if (this.#users.size === 0) {
      this.#since = performance.now();
      this.#log.warn(errorFields(error), `${this.#what} lost; trying again until it is back`);
    }
    this.#users.add(user);
  }

  back(user: string): void {
    if (!this.#users.delete(user) || this.#users.size > 0) return;
    this.#log.info({ lostMs: Math.round(performance.now() - this.#since) }, `${this.#what} is back`);
  }

  get down(): boolean {
    return this.#users.size > 0;
  }
}
