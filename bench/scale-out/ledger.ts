import { setTimeout as sleep } from 'node:timers/promises';
import { type Ownership, ownerships } from '../../faults/replicas.ts';
import type { Transport } from '../../src/cluster/transport.ts';
import { ANNOTATIONS } from '../../src/plan/objects.ts';
import type { WatchedKind } from '../lab/index.ts';

const POLL_MS = 200;
const PAGE = '500';

/** Who owned which shard under which epoch, as the store's table said while it was looked at. */
export class OwnerLedger {
  /** `SHARD/N` → process ids. */
  readonly #owners = new Map<string, Set<number>>();
  readonly #abort = new AbortController();
  readonly #looking: Promise<void>;

  constructor(superuserUrl: string) {
    this.#looking = this.#look(superuserUrl);
  }

  /** Who owned this shard under this epoch: one, or none where nobody was seen to; more is what must never be. */
  of(shard: number, n: number): ReadonlySet<number> {
    return this.#owners.get(`${shard}/${n}`) ?? new Set();
  }

  /** How many shards were owned by several under the same epoch. */
  get servedTwice(): number {
    return [...this.#owners.values()].filter((pids) => pids.size > 1).length;
  }

  /** How often shards changed hands after their first claim. */
  get moves(): number {
    const shards = new Set([...this.#owners.keys()].map((key) => key.split('/')[0]));
    return this.#owners.size - shards.size;
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#looking;
  }

  async #look(superuserUrl: string): Promise<void> {
    while (!this.#abort.signal.aborted) {
      for (const owned of await ownerships(superuserUrl)) this.#note(owned);
      await sleep(POLL_MS, undefined, { signal: this.#abort.signal }).catch(() => undefined);
    }
    for (const owned of await ownerships(superuserUrl)) this.#note(owned);
  }

  #note({ shard, pid, n }: Ownership): void {
    if (pid === null) return;
    const key = `${shard}/${n}`;
    this.#owners.set(key, (this.#owners.get(key) ?? new Set()).add(pid));
  }
}

interface Page {
  readonly metadata: { readonly continue?: string };
  readonly items: readonly { readonly metadata: { readonly annotations?: Readonly<Record<string, string>> } }[];
}

export interface Marked {
  /** Objects by the process id of the replica under whose epoch they were written. */
  readonly byPid: ReadonlyMap<number, number>;
  /** Objects whose mark nobody was seen to own, or several were. */
  readonly unexplained: number;
  readonly objects: number;
}

/** Reads the fence's mark of every object of these kinds, and says whose epochs they are. */
export async function readMarks(
  api: Transport,
  kinds: readonly WatchedKind[],
  labelSelector: string,
  ledger: OwnerLedger,
): Promise<Marked> {
  const byPid = new Map<number, number>();
  let [unexplained, objects] = [0, 0];
  for (const { prefix, resource } of kinds) {
    let next: string | undefined;
    do {
      const query = { labelSelector, limit: PAGE, ...(next && { continue: next }) };
      const page = (await api.call('GET', `${prefix}/${resource}`, { query })) as Page;
      for (const { metadata } of page.items) {
        const [, shard, n] = /^(\d+):.*\/(\d+)$/.exec(metadata.annotations?.[ANNOTATIONS.epoch] ?? '') ?? [];
        const [pid, ...others] = ledger.of(Number(shard), Number(n));
        objects += 1;
        if (pid === undefined || others.length > 0) unexplained += 1;
        else byPid.set(pid, (byPid.get(pid) ?? 0) + 1);
      }
      next = page.metadata.continue;
    } while (next);
  }
  return { byPid, unexplained, objects };
}
