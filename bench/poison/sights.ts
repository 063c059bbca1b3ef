import type { ObjectWatcher } from '../lab/index.ts';

interface Waiter {
  readonly number: number;
  readonly resolve: (atMs: number) => void;
}

const IMAGE = /"image":"app:(\d+)"/;

/** Images of healthy jobs are numbered, so that a later one shows that the earlier ones are served. */
export const imageOf = (number: number): string => `app:${number}`;

/** Waits for images to be seen in Deployments, for very many at once. */
export class Sights {
  /** By namespace: one cell has one Deployment. */
  readonly #waiting = new Map<string, Set<Waiter>>();
  readonly #end: () => void;

  constructor(watcher: Pick<ObjectWatcher, 'on'>) {
    this.#end = watcher.on(({ namespace, line, atMs }) => {
      const waiters = this.#waiting.get(namespace);
      if (!waiters) return;
      const seen = Number(IMAGE.exec(line)?.[1] ?? Number.NaN);
      for (const waiter of waiters) if (waiter.number <= seen) waiter.resolve(atMs);
    });
  }

  /** @returns when it, or a later one, was seen, by performance.now(); null when it was not within `timeoutMs` */
  async of(namespace: string, number: number, timeoutMs: number): Promise<number | null> {
    const waiters = this.#waiting.get(namespace) ?? new Set();
    this.#waiting.set(namespace, waiters);
    let waiter: Waiter | undefined;
    let late: NodeJS.Timeout | undefined;
    try {
      return await new Promise<number | null>((resolve) => {
        waiter = { number, resolve };
        waiters.add(waiter);
        late = setTimeout(() => resolve(null), timeoutMs);
      });
    } finally {
      clearTimeout(late);
      if (waiter) waiters.delete(waiter);
      if (waiters.size === 0) this.#waiting.delete(namespace);
    }
  }

  [Symbol.dispose](): void {
    this.#end();
  }
}
