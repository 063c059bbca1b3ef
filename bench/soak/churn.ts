import { applyAll, removeAll, TENANT, type WrittenJob } from '../../faults/jobs.ts';
import { objectPath } from '../../src/cluster/paths.ts';
import type { Transport } from '../../src/cluster/transport.ts';
import { cellNamespace } from '../../src/plan/names.ts';
import { CELL_KIND_NAMES, type CellKind } from '../../src/plan/objects.ts';
import { ClusterError } from '../../src/ports/cluster.ts';
import type { Store } from '../../src/store/open.ts';
import { benchSpec } from '../lab/index.ts';
import { Every } from '../poison/every.ts';

/** What happens to the jobs, one thing after the other, in turns: mostly edits. */
const PROGRAMME = ['edit', 'edit', 'edit', 'delete child'] as const;
export type Happening = (typeof PROGRAMME)[number] | 'replace';
/** Between removals: the brake lets a twentieth of the jobs go in ten minutes, and three at the least. */
const REPLACE_EVERY_MS = 60_000;

/** A Namespace takes all others along, and is a replacement of the job in all but name. */
const CHILDREN: readonly CellKind[] = CELL_KIND_NAMES.filter((kind) => kind !== 'Namespace');

/** Changes jobs at a steady rate: edits, deletions of objects of their cells, jobs that go and others that come. */
export class Churn {
  readonly #store: Store;
  readonly #admin: Transport;
  /** Of every job that is wanted now, by name. */
  readonly #jobs = new Map<string, WrittenJob>();
  /** Those that were removed, whose cells may still be on their way out. */
  readonly removed: WrittenJob[] = [];
  readonly counts: Record<Happening, number> = { edit: 0, 'delete child': 0, replace: 0 };
  #at = 0;
  #named = 0;
  #replacedAt = Number.NEGATIVE_INFINITY;

  constructor(store: Store, admin: Transport) {
    this.#store = store;
    this.#admin = admin;
  }

  get jobs(): readonly WrittenJob[] {
    return [...this.#jobs.values()];
  }

  /** Adds new jobs. */
  async add(count: number): Promise<void> {
    const names = Array.from({ length: count }, () => `job-${this.#named++}`);
    for (const job of await applyAll(this.#store, names, benchSpec())) this.#jobs.set(job.name, job);
  }

  /** Begins; the answer ends it. */
  start(perSecond: number): Every {
    return new Every(1_000 / perSecond, () => this.#next());
  }

  async #next(): Promise<void> {
    const happening = this.#happening();
    const names = [...this.#jobs.keys()];
    const name = names[Math.floor(Math.random() * names.length)];
    if (name === undefined) throw new Error('no job is left');
    if (happening === 'edit') await this.#edit(name);
    else if (happening === 'delete child') await this.#deleteChild(name);
    else await this.#replace(name);
    this.counts[happening] += 1;
  }

  #happening(): Happening {
    const now = performance.now();
    if (now - this.#replacedAt > REPLACE_EVERY_MS) {
      this.#replacedAt = now;
      return 'replace';
    }
    this.#at += 1;
    return PROGRAMME[this.#at % PROGRAMME.length] ?? 'edit';
  }

  async #edit(name: string): Promise<void> {
    const spec = benchSpec(`registry.example/app:${this.#at}`);
    for (const job of await applyAll(this.#store, [name], spec)) this.#jobs.set(job.name, job);
  }

  async #deleteChild(name: string): Promise<void> {
    const kind = CHILDREN[this.counts['delete child'] % CHILDREN.length] ?? 'Deployment';
    const namespace = cellNamespace(this.#store.storeId, { tenant: TENANT, name });
    try {
      await this.#admin.call('DELETE', objectPath({ kind, namespace, name }), {
        body: { apiVersion: 'v1', kind: 'DeleteOptions' },
      });
    } catch (error) {
      // A new job's cell may not be there yet, and a rolled out object may be between two deletions.
      if (!(error instanceof ClusterError && error.kind === 'gone')) throw error;
    }
  }

  async #replace(name: string): Promise<void> {
    // First gone from here, so that nobody edits it meanwhile.
    this.#jobs.delete(name);
    this.removed.push(...(await removeAll(this.#store, [name])));
    await this.add(1);
  }
}
