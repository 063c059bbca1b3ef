import { type CellKind, keyOf, keyText, LABELS, type ObservedObject } from '../plan/objects.ts';
import { type CellObservation, goalHash, type ObservedPod, type Settled } from '../plan/observation.ts';
import { reducePod } from '../plan/pods.ts';
import type { CellAddress } from '../ports/cluster.ts';
import { decodeObject, isNewer } from './decode.ts';
import { Index } from './index-by.ts';
import type { ReflectorSink } from './reflector.ts';

/** A cell in which something changed: its namespace, and the job its labels name (empty where that is not known). */
export interface CellChange {
  readonly namespace: string;
  readonly jobId: string;
}

interface CachedPod {
  readonly pod: ObservedPod;
  readonly jobId: string;
}

/** How many deletions are remembered: far more than can be under way at one time. */
const REMEMBERED_DELETIONS = 2_000;

interface PodMeta {
  readonly metadata: { readonly labels?: Record<string, string> };
}

const namespaceOf = (object: ObservedObject): string =>
  object.kind === 'Namespace' ? object.metadata.name : (object.metadata.namespace ?? '');

const jobOf = (object: ObservedObject): string => object.metadata.labels?.[LABELS.jobId] ?? '';

const namespaceKey = (name: string): string => keyText({ kind: 'Namespace', namespace: '', name });

/**
 * What the watches have told about all cells of one store, found by the job that an object's labels name: however many
 * cells lie in one namespace, a look at one of them costs no more than its own objects. Our own writes go in at once, so
 * that a plan never acts on a state from before them; an older event that comes later is then dropped by its version.
 */
export class CellCache {
  readonly #objects = new Index<ObservedObject>(jobOf);
  readonly #pods = new Index<CachedPod>(({ jobId }) => jobId);
  readonly #settled: Map<string, Settled>;
  /** By UID: the version at which an object went, so that a late answer to our own write does not bring it back. */
  readonly #gone = new Map<string, string>();
  readonly #onChange: (change: CellChange) => void;

  /** @param settled outlives the cache: what the server made of our writes stays true across re-connections */
  constructor(settled: Map<string, Settled>, onChange: (change: CellChange) => void) {
    this.#settled = settled;
    this.#onChange = onChange;
  }

  /** What carries the job's id, wherever it lies, and the namespace of its own, whoever has it. */
  observe({ id, namespace }: CellAddress): CellObservation {
    const objects = new Map(this.#objects.of(id));
    const key = namespaceKey(namespace);
    const own = this.#objects.get(key);
    if (own) objects.set(key, own);
    return { objects, pods: [...this.#pods.of(id).values()].map(({ pod }) => pod), settled: this.#settled };
  }

  /** All cells: the job id that its objects carry, and a namespace in which one of them lies. */
  *cells(): Generator<CellChange> {
    for (const [jobId, objects] of this.#objects.groups()) {
      const object = objects.values().next().value;
      if (object) yield { namespace: namespaceOf(object), jobId };
    }
  }

  /** Takes in the server's answer to our own write. */
  recordWrite(stored: ObservedObject, wantedHash: string): void {
    this.#settled.set(keyText(keyOf(stored)), { goalHash: wantedHash, storedHash: goalHash(stored) });
    this.#put(stored);
  }

  /** Takes in a live read that found nothing: drops the object that we thought was there. */
  recordAbsence(object: ObservedObject): void {
    this.#drop(object);
  }

  /** Takes in a live read that found our object. */
  recordRead(object: ObservedObject): void {
    this.#put(object);
  }

  /** @param namespace the one that is listed and watched; null for all of them */
  sinkFor(kind: CellKind, namespace: string | null = null): ReflectorSink {
    const isListed = (object: ObservedObject): boolean =>
      object.kind === kind && (namespace === null || object.metadata.namespace === namespace);
    return {
      replaceAll: (items, version) =>
        this.#replaceAll(
          isListed,
          items.map((item) => decodeObject(kind, item)),
          version,
        ),
      upsert: (item) => this.#put(decodeObject(kind, item)),
      remove: (item) => this.#drop(decodeObject(kind, item)),
    };
  }

  /** @param namespace the one that is listed and watched; null for all of them */
  podSink(namespace: string | null = null): ReflectorSink {
    return {
      replaceAll: (items) => {
        const before = [...this.#pods.values()].filter(({ pod }) => namespace === null || pod.namespace === namespace);
        for (const { pod } of before) this.#pods.delete(pod.uid);
        for (const item of items) this.#putPod(item);
        for (const { pod, jobId } of before) {
          if (!this.#pods.has(pod.uid)) this.#onChange({ namespace: pod.namespace, jobId });
        }
      },
      upsert: (item) => this.#putPod(item),
      remove: (item) => {
        const pod = reducePod(item);
        const known = this.#pods.delete(pod.uid);
        this.#onChange({ namespace: pod.namespace, jobId: known?.jobId ?? labelledJob(item) });
      },
    };
  }

  #replaceAll(isListed: (object: ObservedObject) => boolean, listed: readonly ObservedObject[], version: string): void {
    const present = new Set(listed.map((object) => keyText(keyOf(object))));
    const stale = [...this.#objects.values()]
      // What we wrote after the list was made is newer than its absence from it.
      .filter((o) => isListed(o) && !present.has(keyText(keyOf(o))) && !isNewer(o.metadata.resourceVersion, version));
    for (const object of stale) this.#drop(object);
    for (const object of listed) this.#put(object);
  }

  #put(object: ObservedObject): void {
    const key = keyText(keyOf(object));
    const known = this.#objects.get(key);
    const { uid, resourceVersion } = object.metadata;
    if (known && !isNewer(resourceVersion, known.metadata.resourceVersion)) return;
    const goneAt = this.#gone.get(uid);
    if (goneAt !== undefined && !isNewer(resourceVersion, goneAt)) return;
    this.#objects.set(key, object);
    this.#changed(object);
    // Somebody gave the object to another job: the one that has lost it must look, too.
    if (known && jobOf(known) !== jobOf(object)) this.#changed(known);
  }

  /** A deletion counts unless we already know a newer object of the same name. */
  #drop(object: ObservedObject): void {
    this.#rememberDeletion(object);
    const key = keyText(keyOf(object));
    const known = this.#objects.get(key);
    if (!known) return;
    if (
      known.metadata.uid !== object.metadata.uid &&
      isNewer(known.metadata.resourceVersion, object.metadata.resourceVersion)
    )
      return;
    this.#objects.delete(key);
    this.#settled.delete(key);
    this.#changed(known);
  }

  #rememberDeletion({ metadata: { uid, resourceVersion } }: ObservedObject): void {
    this.#gone.delete(uid);
    this.#gone.set(uid, resourceVersion);
    const oldest = this.#gone.keys().next().value;
    if (this.#gone.size > REMEMBERED_DELETIONS && oldest !== undefined) this.#gone.delete(oldest);
  }

  #putPod(item: unknown): void {
    const pod = reducePod(item);
    const known = this.#pods.get(pod.uid);
    const jobId = labelledJob(item);
    this.#pods.set(pod.uid, { pod, jobId });
    this.#onChange({ namespace: pod.namespace, jobId });
    if (known && known.jobId !== jobId) this.#onChange({ namespace: pod.namespace, jobId: known.jobId });
  }

  #changed(object: ObservedObject): void {
    this.#onChange({ namespace: namespaceOf(object), jobId: jobOf(object) });
  }
}

const labelledJob = (item: unknown): string => (item as PodMeta).metadata.labels?.[LABELS.jobId] ?? '';
