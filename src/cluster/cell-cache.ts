import { type CellKind, type KubeObject, keyOf, keyText, LABELS, type ObservedObject } from '../plan/objects.ts';
import { type CellObservation, goalHash, type ObservedPod, type Settled } from '../plan/observation.ts';
import { reducePod } from '../plan/pods.ts';
import { decodeObject, isNewer } from './decode.ts';
import type { ReflectorSink } from './reflector.ts';

/** A cell in which something changed: its namespace, and the job its labels name (empty where that is not known). */
export interface CellChange {
  readonly namespace: string;
  readonly jobId: string;
}

interface Cell {
  readonly objects: Map<string, ObservedObject>;
  readonly pods: Map<string, ObservedPod>;
}

/** How many deletions are remembered: far more than can be under way at one time. */
const REMEMBERED_DELETIONS = 2_000;

interface PodMeta {
  readonly metadata: { readonly labels?: Record<string, string>; readonly resourceVersion: string };
}

const namespaceOf = (object: KubeObject): string =>
  object.kind === 'Namespace' ? object.metadata.name : (object.metadata.namespace ?? '');

/**
 * What the watches have told about all cells of one store, by namespace. Our own writes go in at once, so that a plan
 * never acts on a state from before them; an older event that comes later is then dropped by its version.
 */
export class CellCache {
  readonly #cells = new Map<string, Cell>();
  readonly #settled: Map<string, Settled>;
  /** By UID: the version at which an object went, so that a late answer to our own write does not bring it back. */
  readonly #gone = new Map<string, string>();
  readonly #onChange: (change: CellChange) => void;

  /** @param settled outlives the cache: what the server made of our writes stays true across re-connections */
  constructor(settled: Map<string, Settled>, onChange: (change: CellChange) => void) {
    this.#settled = settled;
    this.#onChange = onChange;
  }

  observe(namespace: string): CellObservation {
    const cell = this.#cells.get(namespace);
    return {
      objects: new Map(cell?.objects),
      pods: [...(cell?.pods.values() ?? [])],
      settled: this.#settled,
    };
  }

  /** All cells: the namespace and the job id that its objects carry. */
  *cells(): Generator<CellChange> {
    for (const [namespace, cell] of this.#cells) {
      const object = cell.objects.values().next().value;
      if (object) yield { namespace, jobId: object.metadata.labels?.[LABELS.jobId] ?? '' };
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

  sinkFor(kind: CellKind): ReflectorSink {
    return {
      replaceAll: (items, version) =>
        this.#replaceAll(
          kind,
          items.map((item) => decodeObject(kind, item)),
          version,
        ),
      upsert: (item) => this.#put(decodeObject(kind, item)),
      remove: (item) => this.#drop(decodeObject(kind, item)),
    };
  }

  podSink(): ReflectorSink {
    return {
      replaceAll: (items) => {
        const before = [...this.#cells].filter(([, cell]) => cell.pods.size > 0);
        for (const [, cell] of before) cell.pods.clear();
        for (const item of items) this.#putPod(item);
        for (const [namespace] of before) this.#onChange({ namespace, jobId: '' });
      },
      upsert: (item) => this.#putPod(item),
      remove: (item) => {
        const pod = reducePod(item);
        this.#cells.get(pod.namespace)?.pods.delete(pod.uid);
        this.#changedPod(pod, item);
      },
    };
  }

  #replaceAll(kind: CellKind, listed: readonly ObservedObject[], version: string): void {
    const present = new Set(listed.map((object) => keyText(keyOf(object))));
    const stale = [...this.#cells.values()]
      .flatMap((cell) => [...cell.objects.values()])
      // What we wrote after the list was made is newer than its absence from it.
      .filter(
        (o) => o.kind === kind && !present.has(keyText(keyOf(o))) && !isNewer(o.metadata.resourceVersion, version),
      );
    for (const object of stale) this.#drop(object);
    for (const object of listed) this.#put(object);
  }

  #cell(namespace: string): Cell {
    const existing = this.#cells.get(namespace);
    if (existing) return existing;
    const cell: Cell = { objects: new Map(), pods: new Map() };
    this.#cells.set(namespace, cell);
    return cell;
  }

  #put(object: ObservedObject): void {
    const namespace = namespaceOf(object);
    const cell = this.#cell(namespace);
    const key = keyText(keyOf(object));
    const known = cell.objects.get(key);
    const { uid, resourceVersion } = object.metadata;
    if (known && !isNewer(resourceVersion, known.metadata.resourceVersion)) return;
    const goneAt = this.#gone.get(uid);
    if (goneAt !== undefined && !isNewer(resourceVersion, goneAt)) {
      this.#forgetEmpty(namespace, cell);
      return;
    }
    cell.objects.set(key, object);
    this.#changed(namespace, object);
  }

  /** A deletion counts unless we already know a newer object of the same name. */
  #drop(object: ObservedObject): void {
    this.#rememberDeletion(object);
    const namespace = namespaceOf(object);
    const cell = this.#cells.get(namespace);
    const key = keyText(keyOf(object));
    const known = cell?.objects.get(key);
    if (!cell || !known) return;
    if (
      known.metadata.uid !== object.metadata.uid &&
      isNewer(known.metadata.resourceVersion, object.metadata.resourceVersion)
    )
      return;
    cell.objects.delete(key);
    this.#settled.delete(key);
    this.#forgetEmpty(namespace, cell);
    this.#changed(namespace, object);
  }

  #rememberDeletion({ metadata: { uid, resourceVersion } }: ObservedObject): void {
    this.#gone.delete(uid);
    this.#gone.set(uid, resourceVersion);
    const oldest = this.#gone.keys().next().value;
    if (this.#gone.size > REMEMBERED_DELETIONS && oldest !== undefined) this.#gone.delete(oldest);
  }

  #putPod(item: unknown): void {
    const pod = reducePod(item);
    this.#cell(pod.namespace).pods.set(pod.uid, pod);
    this.#changedPod(pod, item);
  }

  #changedPod(pod: ObservedPod, item: unknown): void {
    const cell = this.#cells.get(pod.namespace);
    if (cell) this.#forgetEmpty(pod.namespace, cell);
    const { labels } = (item as PodMeta).metadata;
    this.#onChange({ namespace: pod.namespace, jobId: labels?.[LABELS.jobId] ?? '' });
  }

  #forgetEmpty(namespace: string, cell: Cell): void {
    if (cell.objects.size === 0 && cell.pods.size === 0) this.#cells.delete(namespace);
  }

  #changed(namespace: string, object: ObservedObject): void {
    this.#onChange({ namespace, jobId: object.metadata.labels?.[LABELS.jobId] ?? '' });
  }
}
