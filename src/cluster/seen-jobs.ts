import type { ObservedPod, SeenObject } from '../plan/observation.ts';

/** What is kept of a pod, and whose it is. */
export interface SeenPod extends ObservedPod {
  readonly jobId: string;
}

interface SeenJob {
  objects: readonly SeenObject[];
  pods: readonly SeenPod[];
}

const NO_OBJECTS: readonly SeenObject[] = [];
const NO_PODS: readonly SeenPod[] = [];

const without = <T extends { readonly uid: string }>(list: readonly T[], { uid }: T): readonly T[] =>
  list.filter((it) => it.uid !== uid);

/**
 * What is seen, by the job that its labels name. The lists are short and never changed in place, so that a look at one
 * copies nothing and a list takes no more room than it needs.
 */
export class SeenJobs {
  readonly #jobs = new Map<string, SeenJob>();

  objectsOf(jobId: string): readonly SeenObject[] {
    return this.#jobs.get(jobId)?.objects ?? NO_OBJECTS;
  }

  podsOf(jobId: string): readonly SeenPod[] {
    return this.#jobs.get(jobId)?.pods ?? NO_PODS;
  }

  /** One object of each job that has any. */
  *firsts(): Generator<SeenObject> {
    for (const { objects } of this.#jobs.values()) if (objects[0]) yield objects[0];
  }

  addObject(object: SeenObject): void {
    const job = this.#job(object.jobId);
    job.objects = job.objects.concat([object]);
  }

  addPod(pod: SeenPod): void {
    const job = this.#job(pod.jobId);
    job.pods = job.pods.concat([pod]);
  }

  removeObject(object: SeenObject): void {
    const job = this.#jobs.get(object.jobId);
    if (!job) return;
    job.objects = without(job.objects, object);
    this.#tidy(object.jobId, job);
  }

  removePod(pod: SeenPod): void {
    const job = this.#jobs.get(pod.jobId);
    if (!job) return;
    job.pods = without(job.pods, pod);
    this.#tidy(pod.jobId, job);
  }

  #job(jobId: string): SeenJob {
    const known = this.#jobs.get(jobId);
    if (known) return known;
    const job = { objects: NO_OBJECTS, pods: NO_PODS };
    this.#jobs.set(jobId, job);
    return job;
  }

  #tidy(jobId: string, { objects, pods }: SeenJob): void {
    if (objects.length === 0 && pods.length === 0) this.#jobs.delete(jobId);
  }
}
