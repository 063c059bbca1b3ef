import { errorFields, type Log } from '../ports/log.ts';

/** One log line when something is lost and one when it is back, however often it is tried in between. */
export class Outage {
  readonly #what: string;
  readonly #log: Log;
  #since: number | null = null;

  constructor(what: string, log: Log) {
    this.#what = what;
    this.#log = log;
  }

  lost(error: unknown): void {
    if (this.#since !== null) return;
    this.#since = performance.now();
    this.#log.warn(errorFields(error), `${this.#what} lost; trying again until it is back`);
  }

  back(): void {
    if (this.#since === null) return;
    const lostMs = Math.round(performance.now() - this.#since);
    this.#since = null;
    this.#log.info({ lostMs }, `${this.#what} is back`);
  }

  get down(): boolean {
    return this.#since !== null;
  }
}
