import type { ClusterId } from '../job/ids.ts';

/** How long no replica may have been connected to the former cluster until it counts as lost. */
const SILENCE_MS = 30_000;
/**
 * The lease of a replica that went down with its cluster lasts on for a while (5 s by default, see shard-keeper.ts): who
 * is seen so soon after the new cluster was met may be dead.
 */
const LAST_WORDS_MS = 15_000;
/** Who looks less often has not looked all the time. */
const MAX_GAP_MS = 10_000;

/** `until`: when the silence will have lasted long enough, unless somebody shows himself. */
export type FormerCluster =
  | { readonly kind: 'silent' }
  | { readonly kind: 'waiting'; readonly until: Date }
  | { readonly kind: 'connected' };

export interface FormerClusterOptions {
  /** How many living replicas are connected to a cluster. @throws StoreError */
  readonly replicasOf: (cluster: ClusterId) => Promise<number>;
  /** Monotonic; in tests a clock of theirs. */
  readonly nowMs?: () => number;
}

/** What has been seen of one former cluster since one new cluster was met. */
interface Watch {
  readonly former: ClusterId;
  readonly found: ClusterId;
  readonly metAt: number;
  silentSince: number;
  /** The same as a time of day, kept as it was first said. */
  until: Date;
  lookedAt: number;
}

/**
 * Tells from inside a pod, where every cluster has the same address, whether the cluster that the jobs live in is lost:
 * its replicas would say so in Postgres. One that is connected there, after those that went down with it have lost their
 * leases, means that both clusters live; that is remembered, since what was alive may be alive unseen. So a person
 * decides then, or another process that sees for itself.
 *
 * What it cannot see is a cluster whose workers run on though none of its replicas is connected, while a new operator is
 * started elsewhere: the README says so.
 */
export class FormerClusterWatch {
  readonly #replicasOf: FormerClusterOptions['replicasOf'];
  readonly #nowMs: () => number;
  /** Former clusters that were seen to live. */
  readonly #living = new Set<ClusterId>();
  #watch: Watch | null = null;

  constructor({ replicasOf, nowMs = () => performance.now() }: FormerClusterOptions) {
    this.#replicasOf = replicasOf;
    this.#nowMs = nowMs;
  }

  /** To be asked again and again, at least every few seconds. @throws StoreError */
  async look(former: ClusterId, found: ClusterId): Promise<FormerCluster> {
    const connected = await this.#replicasOf(former);
    const now = this.#nowMs();
    const silence = { silentSince: now, until: new Date(Date.now() + SILENCE_MS) };
    if (this.#watch?.former !== former || this.#watch.found !== found) {
      this.#watch = { former, found, metAt: now, ...silence, lookedAt: now };
    }
    const watch = this.#watch;
    if (connected > 0 && now - watch.metAt > LAST_WORDS_MS) this.#living.add(former);
    if (connected > 0 || now - watch.lookedAt > MAX_GAP_MS) Object.assign(watch, silence);
    watch.lookedAt = now;
    if (this.#living.has(former)) return { kind: 'connected' };
    return now - watch.silentSince >= SILENCE_MS ? { kind: 'silent' } : { kind: 'waiting', until: watch.until };
  }
}
