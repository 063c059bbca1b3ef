import { setTimeout as sleep } from 'node:timers/promises';
import { applyAll } from '../../faults/jobs.ts';
import type { Store } from '../../src/store/open.ts';
import { benchSpec } from '../lab/index.ts';
import { Every } from './every.ts';
import { imageOf } from './sights.ts';

/** People's edits that take longer than this are counted as this long. */
export const LIMIT_MS = 30_000;

export interface EditsDeps {
  readonly store: Store;
  /** Resolves when an independent watcher has seen a job's Deployment with this image or a later one; with null after `timeoutMs`. */
  readonly seen: (name: string, number: number, timeoutMs: number) => Promise<number | null>;
  readonly next: () => number;
}

/**
 * Edits healthy jobs one after the other at a fixed rate, whether or not earlier ones are served: who waits for the
 * last answer before asking again does not notice a stall.
 */
export class Edits {
  readonly #deps: EditsDeps;
  readonly #names: readonly string[];
  #at = 0;

  constructor(deps: EditsDeps, names: readonly string[]) {
    this.#deps = deps;
    this.#names = names;
  }

  /** @returns from the edit to its being seen, for every edit that began within `durationMs`; milliseconds */
  async during(durationMs: number, perSecond: number): Promise<number[]> {
    const latencies: number[] = [];
    const editing = new Every(1_000 / perSecond, async () => {
      latencies.push(await this.#edit());
    });
    await sleep(durationMs);
    await editing.stop();
    return latencies;
  }

  async #edit(): Promise<number> {
    const { store, seen, next } = this.#deps;
    const name = this.#names[this.#at % this.#names.length] ?? '';
    this.#at += 1;
    const number = next();
    const startedAt = performance.now();
    const seeing = seen(name, number, LIMIT_MS);
    await applyAll(store, [name], benchSpec(imageOf(number)));
    const seenAt = await seeing;
    return seenAt === null ? LIMIT_MS : seenAt - startedAt;
  }
}
