import { type JobId, type JobName, jobName } from '../job/ids.ts';
import { type DefinitionState, WHOLE_DEFINITION } from '../plan/intake.ts';
import type { Home, ObservedStreamJob, StreamJobAction, StreamJobEvent } from '../plan/stream-job.ts';
import { ClusterError } from './cluster.ts';
import type { StreamJobs } from './stream-jobs.ts';
import type { FakeStreamJobServer } from './stream-jobs-server.fake.ts';

/**
 * How one replica sees the server: as late as its watch, which {@link sync} lets catch up; own writes are seen at once.
 * `onWrite` is called before and after each write reaches the server: what it throws is what the caller gets, so that a
 * test can lose a write, its answer, or the whole process.
 */
export class FakeStreamJobs implements StreamJobs {
  readonly definition: DefinitionState = WHOLE_DEFINITION;
  readonly #server: FakeStreamJobServer;
  readonly #onWrite: (when: 'before' | 'after') => void;
  #seen = new Map<string, ObservedStreamJob>();
  #kind: FakeStreamJobServer['kind'] = 'there';
  #incarnation = 0;

  constructor(server: FakeStreamJobServer, onWrite: (when: 'before' | 'after') => void = () => undefined) {
    this.#server = server;
    this.#onWrite = onWrite;
    this.sync();
  }

  /** The watch catches up. */
  sync(): void {
    this.#seen = new Map(this.#server.all().map((object) => [jobName(object.job), object]));
    this.#kind = this.#server.kind;
    this.#incarnation = this.#server.incarnation;
  }

  /** A connection to a cluster that was lost or restored does not outlive that. */
  syncIfReplaced(): void {
    if (this.#incarnation !== this.#server.incarnation) this.sync();
  }

  sees(): boolean {
    return this.#kind !== 'missing';
  }

  async stampsAuthors(): Promise<boolean> {
    return true;
  }

  all(): ObservedStreamJob[] {
    return [...this.#seen.values()];
  }

  of(job: JobName): ObservedStreamJob | null {
    return this.#seen.get(jobName(job)) ?? null;
  }

  withUid(uid: string): ObservedStreamJob | null {
    return this.all().find((object) => object.uid === uid) ?? null;
  }

  ofStatus(job: JobId): ObservedStreamJob | null {
    return this.all().find(({ status }) => status?.jobId === job) ?? null;
  }

  async home(tenant: string): Promise<Home> {
    return this.#server.home(tenant);
  }

  async execute(action: StreamJobAction): Promise<ObservedStreamJob | null> {
    try {
      this.#onWrite('before');
      const stored = this.#server.execute(action, 'written by a test');
      if (action.do === 'discard' && stored) this.#delete(stored);
      this.#onWrite('after');
      if (action.do === 'makeNamespace') return null;
      if (action.do === 'release' || action.do === 'discard') {
        this.#seen.delete(jobName(action.object.job));
        return null;
      }
      if (stored) this.#seen.set(jobName(stored.job), stored);
      return stored;
    } catch (error) {
      const isStale = error instanceof ClusterError && (error.kind === 'conflict' || error.kind === 'gone');
      if (isStale && action.do !== 'makeNamespace') this.#refresh('job' in action ? action.job : action.object.job);
      throw error;
    }
  }

  async tell(_object: ObservedStreamJob, event: StreamJobEvent): Promise<void> {
    this.#server.told.push(event);
  }

  /** A discard is two writes: the finalizer, then the deletion of that very version. */
  #delete({ job, uid, resourceVersion }: ObservedStreamJob): void {
    this.#onWrite('after');
    this.#onWrite('before');
    const found = this.#server.of(job);
    if (found?.uid !== uid || found.resourceVersion !== resourceVersion) {
      throw new ClusterError(found ? 'conflict' : 'gone', `${jobName(job)} has changed`);
    }
    this.#server.delete(job);
    this.#server.writes += 1;
  }

  #refresh(job: JobName): void {
    const found = this.#server.of(job);
    if (found) this.#seen.set(jobName(job), found);
    else this.#seen.delete(jobName(job));
  }
}
