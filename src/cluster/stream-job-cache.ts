import { type JobId, type JobName, jobName } from '../job/ids.ts';
import type { ObservedStreamJob } from '../plan/stream-job.ts';
import { isNewer } from './decode.ts';
import type { ReflectorSink } from './reflector.ts';
import { decodeStreamJob } from './stream-job-decode.ts';

/** What the watches have told about StreamJobs, by name and by UID. */
export class StreamJobCache {
  readonly #byName = new Map<string, ObservedStreamJob>();
  readonly #byUid = new Map<string, ObservedStreamJob>();
  readonly #onChange: (object: ObservedStreamJob) => void;

  constructor(onChange: (object: ObservedStreamJob) => void) {
    this.#onChange = onChange;
  }

  of(job: JobName): ObservedStreamJob | null {
    return this.#byName.get(jobName(job)) ?? null;
  }

  withUid(uid: string): ObservedStreamJob | null {
    return this.#byUid.get(uid) ?? null;
  }

  ofStatus(job: JobId): ObservedStreamJob | null {
    return [...this.#byName.values()].find(({ status }) => status?.jobId === job) ?? null;
  }

  all(): Iterable<ObservedStreamJob> {
    return this.#byName.values();
  }

  /** Takes in what a read or a watch told. An older version than is known says nothing. */
  put(object: ObservedStreamJob): void {
    if (this.#keep(object)) this.#onChange(object);
  }

  /** Takes in the answer to our own write, which is no news to anybody. */
  recordWrite(object: ObservedStreamJob): void {
    this.#keep(object);
  }

  /** The object is gone, unless another one of its name is known by now. */
  drop({ job, uid }: Pick<ObservedStreamJob, 'job' | 'uid'>): void {
    const known = this.#byName.get(jobName(job));
    if (known?.uid !== uid) return;
    this.#byName.delete(jobName(job));
    this.#byUid.delete(uid);
    this.#onChange(known);
  }

  #keep(object: ObservedStreamJob): boolean {
    const name = jobName(object.job);
    const known = this.#byName.get(name);
    if (known && !isNewer(object.resourceVersion, known.resourceVersion)) return false;
    if (known) this.#byUid.delete(known.uid);
    this.#byName.set(name, object);
    this.#byUid.set(object.uid, object);
    return true;
  }

  /** Forgets what lies in this namespace, or (null) everywhere, without a word: it is out of sight, not gone. */
  clear(namespace: string | null): void {
    for (const [name, { job, uid }] of this.#byName) {
      if (namespace !== null && job.tenant !== namespace) continue;
      this.#byName.delete(name);
      this.#byUid.delete(uid);
    }
  }

  /** @param namespace whose objects the source lists; null where it lists all */
  sink(namespace: string | null): ReflectorSink {
    return {
      keepOnly: (present, version) => {
        const stale = [...this.#byName.values()].filter(
          ({ job, uid, resourceVersion }) =>
            (namespace === null || job.tenant === namespace) &&
            !present.has(uid) &&
            // What we wrote after the list was made is newer than its absence from it.
            !isNewer(resourceVersion, version),
        );
        for (const object of stale) this.drop(object);
      },
      upsert: (item) => {
        const object = decodeStreamJob(item);
        this.put(object);
        return object.uid;
      },
      remove: (item) => this.drop(decodeStreamJob(item)),
    };
  }
}
