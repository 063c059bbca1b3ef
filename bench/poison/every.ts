/** Does something again and again, whether or not what was begun before has ended: as many people would. */
export class Every {
  readonly #timer: NodeJS.Timeout;
  readonly #running = new Set<Promise<void>>();
  #error: unknown = null;

  constructor(everyMs: number, act: () => Promise<void>) {
    this.#timer = setInterval(() => {
      const running = act()
        .catch((error: unknown) => {
          this.#error ??= error;
        })
        .finally(() => this.#running.delete(running));
      this.#running.add(running);
    }, everyMs);
  }

  /** Begins nothing more, and waits for the rest. @throws the first error of any of them */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
    if (this.#error !== null) throw this.#error;
  }
}
