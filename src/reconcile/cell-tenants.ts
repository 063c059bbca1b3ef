import type { JobId } from '../job/ids.ts';

/**
 * Whose cell a namespace is: several jobs while an earlier one of the same name still ends. There is one for every job,
 * so the usual case of one job is kept without a set.
 */
export class CellTenants {
  readonly #jobs = new Map<string, JobId | ReadonlySet<JobId>>();

  of(namespace: string): ReadonlySet<JobId> {
    const found = this.#jobs.get(namespace);
    if (found === undefined) return new Set();
    return typeof found === 'string' ? new Set([found]) : found;
  }

  add(namespace: string, id: JobId): void {
    const found = this.#jobs.get(namespace);
    if (found === id) return;
    this.#jobs.set(namespace, found === undefined ? id : new Set([...this.of(namespace), id]));
  }

  /** @returns those that are left */
  delete(namespace: string, id: JobId): ReadonlySet<JobId> {
    const others = new Set(this.of(namespace));
    others.delete(id);
    this.#set(namespace, others);
    return others;
  }

  /** Forgets these jobs wherever they are. */
  drop(isLeaving: (id: JobId) => boolean): void {
    for (const namespace of this.#jobs.keys()) {
      const staying = [...this.of(namespace)].filter((id) => !isLeaving(id));
      this.#set(namespace, new Set(staying));
    }
  }

  #set(namespace: string, jobs: ReadonlySet<JobId>): void {
    const [first, ...others] = jobs;
    if (first === undefined) this.#jobs.delete(namespace);
    else this.#jobs.set(namespace, others.length === 0 ? first : jobs);
  }
}
