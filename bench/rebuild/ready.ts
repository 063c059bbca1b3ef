import { setTimeout as sleep } from 'node:timers/promises';
import { ObjectWatcher, WATCHED } from '../lab/index.ts';
import type { Task } from './turn.ts';

const POLL_MS = 100;
const STALL_MS = 120_000;
const WANTED = /"replicas":(\d+)/;
const AVAILABLE = /"availableReplicas":(\d+)/;

/** Waits until the Deployments of all jobs have all their workers. */
export class ReadyWatch {
  readonly #watcher: ObjectWatcher;
  readonly #count: number;
  readonly #ready = new Set<string>();
  #lastAtMs = performance.now();

  private constructor(watcher: ObjectWatcher, count: number) {
    this.#watcher = watcher;
    this.#count = count;
    watcher.on(({ uid, line, atMs }) => {
      const [wanted, available] = [WANTED.exec(line)?.[1], AVAILABLE.exec(line)?.[1]];
      if (wanted === undefined || wanted !== available || this.#ready.has(uid)) return;
      this.#ready.add(uid);
      this.#lastAtMs = atMs;
    });
  }

  /** @returns null when the task does not ask for it: then nobody watches */
  static async open({ lab, jobs, ready }: Task): Promise<ReadyWatch | null> {
    if (!ready) return null;
    return new ReadyWatch(await ObjectWatcher.open(lab, { kinds: [WATCHED.deployments] }), jobs);
  }

  /** @returns when the last one became ready, in milliseconds since 1970 */
  async all(): Promise<number> {
    while (this.#ready.size < this.#count) {
      if (performance.now() - this.#lastAtMs > STALL_MS) {
        throw new Error(`${this.#ready.size} of ${this.#count} Deployments are ready, and none more for a while`);
      }
      await sleep(POLL_MS);
    }
    return performance.timeOrigin + this.#lastAtMs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watcher[Symbol.asyncDispose]();
  }
}
