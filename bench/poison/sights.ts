import type { ObjectWatcher } from '../lab/index.ts';

interface Waiter {
  readonly image: string;
  readonly resolve: (atMs: number) => void;
}

/** Waits for images to be seen in Deployments, for very many at once. */
export class Sights {
  /** By namespace: one cell has one Deployment. */
  readonly #waiting = new Map<string, Set<Waiter>>();
  readonly #end: () => void;

  constructor(watcher: Pick<ObjectWatcher, 'on'>) {
    this.#end = watcher.on(({ namespace, line, atMs }) => {
      for (const waiter of this.#waiting.get(namespace) ?? []) {
        if (line.includes(`"image":"${waiter.image}"`)) waiter.resolve(atMs);
      }
    });
  }

  /** @returns when it was seen, by performance.now(); null when it was not within `timeoutMs` */
  async of(namespace: string, image: string, timeoutMs: number): Promise<number | null> {
    const waiters = this.#waiting.get(namespace) ?? new Set();
    this.#waiting.set(namespace, waiters);
    let waiter: Waiter | undefined;
    let late: NodeJS.Timeout | undefined;
    try {
      return await new Promise<number | null>((resolve) => {
        waiter = { image, resolve };
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
