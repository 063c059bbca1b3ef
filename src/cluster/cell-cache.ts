import { type CellKind, keyText, LABELS, type ObjectKey, type ObservedObject } from '../plan/objects.ts';
import {
  type CellObservation,
  type ContainerState,
  goalHash,
  isAt,
  type SeenObject,
  type Settled,
} from '../plan/observation.ts';
import { reducePod } from '../plan/pods.ts';
import { type LiveObject, seenObject } from '../plan/seen.ts';
import type { CellAddress } from '../ports/cluster.ts';
import { isNewer, liveObject } from './decode.ts';
import type { ReflectorSink } from './reflector.ts';
import { SeenJobs, type SeenPod } from './seen-jobs.ts';
import { SharedParts, shared } from './shared-parts.ts';

/** Where a cell is, and the job its labels name (empty where that is not known). */
export interface SeenCell {
  readonly namespace: string;
  readonly jobId: string;
}

/** A cell in which something changed. */
export interface CellChange extends SeenCell {
  /** Whether an object went or is not what it was; otherwise it is news of how far Kubernetes has come. */
  readonly isDrift: boolean;
}

/** How many deletions are remembered: far more than can be under way at one time. */
const REMEMBERED_DELETIONS = 2_000;

/** Of a container that runs and never ended, as nearly all of them. */
const RUNNING: ContainerState = { waitingReason: null, waitingMessage: null, lastExit: null };

const namespaceOf = ({ kind, namespace, name }: SeenObject): string => (kind === 'Namespace' ? name : namespace);

/** Whether both are what the same goal asks for. */
const isSameObject = (a: SeenObject, b: SeenObject): boolean =>
  a.digest === b.digest &&
  a.revision === b.revision &&
  a.jobId === b.jobId &&
  a.store === b.store &&
  a.isTerminating === b.isTerminating;

/** Whether a plan or a status would come out the same: a version alone is nothing to wake a job for. */
const saysTheSame = (a: SeenObject, b: SeenObject): boolean =>
  isSameObject(a, b) &&
  // Equal ones are one (see SharedParts), but for rare ones, which may wake a job once too often.
  a.rollout === b.rollout &&
  a.carried === b.carried;

/**
 * What the watches have told about all cells of one store, found by the job that an object's labels name: however many
 * cells lie in one namespace, a look at one of them costs no more than its own objects. Of each object only what a plan
 * needs is kept. Our own writes go in at once, so that a plan never acts on a state from before them; an older event that
 * comes later is then dropped by its version.
 */
export class CellCache {
  readonly #jobs = new SeenJobs();
  /** By UID, for each kind by itself. */
  readonly #objects = new Map<CellKind, Map<string, SeenObject>>();
  readonly #namespaces = new Map<string, SeenObject>();
  /** By UID. */
  readonly #pods = new Map<string, SeenPod>();
  readonly #parts = new SharedParts();
  readonly #settled: Map<string, Settled>;
  /** By UID: the version at which an object went, so that a late answer to our own write does not bring it back. */
  readonly #gone = new Map<string, string>();
  /** By `keyText`: the `goalHash` of what we are writing there now. */
  readonly #underWay = new Map<string, string>();
  readonly #onChange: (change: CellChange) => void;

  /** @param settled outlives the cache: what the server made of our writes stays true across re-connections */
  constructor(settled: Map<string, Settled>, onChange: (change: CellChange) => void) {
    this.#settled = settled;
    this.#onChange = onChange;
  }

  /** What carries the job's id, wherever it lies, and the namespace of its own, whoever has it. */
  observe({ id, namespace }: CellAddress): CellObservation {
    const known = this.#jobs.objectsOf(id);
    const own = this.#namespaces.get(namespace);
    const objects = own && own.jobId !== id ? known.concat([own]) : known;
    return { objects, pods: this.#jobs.podsOf(id), settled: this.#settled };
  }

  /** All cells: the job id that its objects carry, and a namespace in which one of them lies. */
  *cells(): Generator<SeenCell> {
    for (const object of this.#jobs.firsts()) yield { namespace: namespaceOf(object), jobId: object.jobId };
  }

  /**
   * Says that we begin to write. A watch is often faster than the answer, and what it tells of this very write would give
   * the job a second turn for nothing: the turn that writes looks at the cell once more before it ends.
   * @returns to be disposed of once there is an answer, or none any more
   */
  expectWrite(key: ObjectKey, wantedHash: string): Disposable {
    const text = keyText(key);
    this.#underWay.set(text, wantedHash);
    return { [Symbol.dispose]: () => void this.#underWay.delete(text) };
  }

  /**
   * Takes in the server's answer to our own write, which is no news to the job that wrote. What the server made of it is
   * remembered where it is not what was sent.
   */
  recordWrite(stored: ObservedObject, wantedHash: string): void {
    // The watch may have told of it before.
    const seen = this.#put(stored.kind, stored, false) ?? seenObject(stored.kind, stored);
    const storedHash = goalHash(seen);
    if (storedHash !== wantedHash) this.#settled.set(keyText(seen), { goalHash: wantedHash, storedHash });
    else if (this.#settled.size > 0) this.#settled.delete(keyText(seen));
  }

  /** Takes in a live read that found nothing: drops the object that we thought was there. */
  recordAbsence({ kind, uid, resourceVersion }: SeenObject): void {
    this.#drop(kind, uid, resourceVersion);
  }

  /** Takes in a live read that found our object. */
  recordRead(object: ObservedObject): void {
    this.#put(object.kind, object);
  }

  /** @param listed the namespace that is listed and watched; null for all of them */
  sinkFor(kind: CellKind, listed: string | null = null): ReflectorSink {
    const put = (item: unknown): string => {
      const object = liveObject(item);
      this.#put(kind, object);
      return object.metadata.uid;
    };
    return {
      keepOnly: (present, version) => {
        for (const { uid, namespace, resourceVersion } of [...this.#ofKind(kind).values()]) {
          if (present.has(uid) || (listed !== null && namespace !== listed)) continue;
          // What we wrote after the list was made is newer than its absence from it.
          if (!isNewer(resourceVersion, version)) this.#drop(kind, uid, version);
        }
      },
      knows: (uid, version) => {
        const known = this.#ofKind(kind).get(uid);
        return known !== undefined && !isNewer(version, known.resourceVersion);
      },
      upsert: put,
      remove: (item) => {
        const { uid, resourceVersion } = liveObject(item).metadata;
        this.#drop(kind, uid, resourceVersion);
      },
    };
  }

  /** @param listed the namespace that is listed and watched; null for all of them */
  podSink(listed: string | null = null): ReflectorSink {
    return {
      keepOnly: (present) => {
        for (const pod of [...this.#pods.values()]) {
          if (!present.has(pod.uid) && (listed === null || pod.namespace === listed)) this.#dropPod(pod);
        }
      },
      upsert: (item) => this.#putPod(item),
      remove: (item) => {
        const pod = this.#pods.get(liveObject(item).metadata.uid);
        if (pod) this.#dropPod(pod);
      },
    };
  }

  #ofKind(kind: CellKind): Map<string, SeenObject> {
    const known = this.#objects.get(kind);
    if (known) return known;
    const objects = new Map<string, SeenObject>();
    this.#objects.set(kind, objects);
    return objects;
  }

  /** @returns what is known now; undefined where the object is older than that or gone by now */
  #put(kind: CellKind, object: LiveObject, isNews = true): SeenObject | undefined {
    const { uid, resourceVersion, labels } = object.metadata;
    // First what is cheap: most of what a new list tells is known.
    const same = this.#ofKind(kind).get(uid);
    if (same && !isNewer(resourceVersion, same.resourceVersion)) return undefined;
    const goneAt = this.#gone.get(uid);
    if (goneAt !== undefined && !isNewer(resourceVersion, goneAt)) return undefined;
    const siblings = this.#jobs.objectsOf(labels?.[LABELS.jobId] ?? '');
    const seen = this.#parts.share(seenObject(kind, object), siblings);
    const known = same ?? siblings.find((sibling) => isAt(sibling, seen));
    if (known && !isNewer(resourceVersion, known.resourceVersion)) return undefined;
    if (known) this.#remove(known);
    this.#ofKind(kind).set(uid, seen);
    this.#jobs.addObject(seen);
    if (kind === 'Namespace') this.#namespaces.set(seen.name, seen);
    const isDrift = known !== undefined && !isSameObject(known, seen);
    if (isNews && !(known && saysTheSame(known, seen)) && !this.#isUnderWay(seen)) this.#changed(seen, isDrift);
    // Somebody gave the object to another job: the one that has lost it must look, too.
    if (known && known.jobId !== seen.jobId) this.#changed(known, true);
    return seen;
  }

  #isUnderWay(seen: SeenObject): boolean {
    return this.#underWay.size > 0 && !seen.isTerminating && this.#underWay.get(keyText(seen)) === goalHash(seen);
  }

  #drop(kind: CellKind, uid: string, resourceVersion: string): void {
    this.#rememberDeletion(uid, resourceVersion);
    const known = this.#ofKind(kind).get(uid);
    if (!known) return;
    this.#remove(known);
    if (this.#settled.size > 0) this.#settled.delete(keyText(known));
    this.#changed(known, true);
  }

  #remove(known: SeenObject): void {
    this.#ofKind(known.kind).delete(known.uid);
    this.#jobs.removeObject(known);
    if (known.kind === 'Namespace' && this.#namespaces.get(known.name) === known) this.#namespaces.delete(known.name);
  }

  #rememberDeletion(uid: string, resourceVersion: string): void {
    this.#gone.delete(uid);
    this.#gone.set(uid, resourceVersion);
    const oldest = this.#gone.keys().next().value;
    if (this.#gone.size > REMEMBERED_DELETIONS && oldest !== undefined) this.#gone.delete(oldest);
  }

  /** @returns its UID */
  #putPod(item: unknown): string {
    const jobId = liveObject(item).metadata.labels?.[LABELS.jobId] ?? '';
    const { container, ...pod } = reducePod(item);
    const siblings = this.#jobs.objectsOf(jobId);
    const { waitingReason, waitingMessage, lastExit } = container;
    const seen: SeenPod = {
      ...pod,
      namespace: shared(pod.namespace, siblings),
      container: waitingReason === null && waitingMessage === null && lastExit === null ? RUNNING : container,
      jobId: siblings[0]?.jobId ?? jobId,
    };
    const known = this.#pods.get(pod.uid);
    if (known && isSamePod(known, seen)) return pod.uid;
    if (known) this.#jobs.removePod(known);
    this.#pods.set(pod.uid, seen);
    this.#jobs.addPod(seen);
    this.#podChanged(seen);
    if (known && known.jobId !== jobId) this.#podChanged(known);
    return pod.uid;
  }

  #dropPod(pod: SeenPod): void {
    this.#pods.delete(pod.uid);
    this.#jobs.removePod(pod);
    this.#podChanged(pod);
  }

  #podChanged({ namespace, jobId }: SeenPod): void {
    this.#onChange({ namespace, jobId, isDrift: false });
  }

  #changed(object: SeenObject, isDrift: boolean): void {
    this.#onChange({ namespace: namespaceOf(object), jobId: object.jobId, isDrift });
  }
}

/** Containers that run are one; whatever happens to another is worth a look. */
const isSamePod = (a: SeenPod, b: SeenPod): boolean =>
  a.phase === b.phase &&
  a.ready === b.ready &&
  a.terminating === b.terminating &&
  a.restarts === b.restarts &&
  a.container === b.container &&
  a.unschedulable === b.unschedulable &&
  a.jobId === b.jobId;
