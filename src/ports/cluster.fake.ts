import type { ClusterAction } from '../plan/actions.ts';
import {
  isTerminating,
  type KubeObject,
  keyOf,
  keyText,
  LABELS,
  type ObjectKey,
  type ObservedObject,
} from '../plan/objects.ts';
import { type CellObservation, goalHash, type ObservedPod, type Settled } from '../plan/observation.ts';
import { seenObject } from '../plan/seen.ts';
import { type ActionExecutor, type CellAddress, ClusterError } from './cluster.ts';
import type { Fence } from './shards.ts';

/**
 * An API server in memory for tests of the plan and of the reconciler: UIDs, versions, preconditions, namespaces that
 * take their time to end. It counts what it is asked and fails the next call when told to.
 */
export class FakeCluster implements ActionExecutor {
  readonly objects = new Map<string, ObservedObject>();
  readonly settled = new Map<string, Settled>();
  readonly calls: string[] = [];
  /** What each write came under. */
  readonly fences: Fence[] = [];
  readonly executor: ActionExecutor = this;
  pods: ObservedPod[] = [];
  #failNext: ClusterError[] = [];
  #version = 100;

  /** The next calls of execute() reject with these, one each. */
  failNext(...errors: ClusterError[]): void {
    this.#failNext.push(...errors);
  }

  get writes(): number {
    return this.calls.filter((call) => !call.startsWith('read')).length;
  }

  /** Also what a reconcile would meet in the namespace of the job's own. */
  observe({ id, namespace }: CellAddress): CellObservation {
    const isSeen = ({ kind, metadata }: ObservedObject): boolean =>
      metadata.labels?.[LABELS.jobId] === id ||
      metadata.namespace === namespace ||
      (kind === 'Namespace' && metadata.name === namespace);
    const seen = [...this.objects.values()].filter(isSeen);
    return { objects: seen.map((object) => seenObject(object.kind, object)), pods: this.pods, settled: this.settled };
  }

  // Nothing is heard from this fake but what is asked of it.
  expectWrite(): Disposable {
    return { [Symbol.dispose]: () => undefined };
  }

  recordWrite(stored: ObservedObject, wantedHash: string): void {
    this.settled.set(keyText(keyOf(stored)), {
      goalHash: wantedHash,
      storedHash: goalHash(seenObject(stored.kind, stored)),
    });
  }

  // The watch of this fake is never late, so there is nothing to take in.
  recordRead(): undefined {
    return undefined;
  }

  recordAbsence(): undefined {
    return undefined;
  }

  async execute(action: ClusterAction, fence: Fence): Promise<ObservedObject | null> {
    this.fences.push(fence);
    const key = action.do === 'delete' ? action.key : keyOf(action.object);
    this.calls.push(`${action.do} ${keyText(key)}`);
    const failure = this.#failNext.shift();
    if (failure) throw failure;
    switch (action.do) {
      case 'create':
        return this.#create(key, action.object);
      case 'replace':
        return this.#replace(key, action.object);
      case 'delete':
        return this.#delete(key, action.uid);
    }
  }

  async read(key: ObjectKey): Promise<ObservedObject | null> {
    this.calls.push(`read ${keyText(key)}`);
    return this.objects.get(keyText(key)) ?? null;
  }

  /** Puts an object there as if somebody else had made it. */
  put(object: KubeObject): ObservedObject {
    const version = String(++this.#version);
    const uid = object.metadata.uid ?? `uid-${version}`;
    const stored: ObservedObject = { ...object, metadata: { ...object.metadata, uid, resourceVersion: version } };
    this.objects.set(keyText(keyOf(object)), stored);
    return stored;
  }

  /** Ends all namespaces that are being deleted, with all that is in them, and all Deployments. */
  finishTerminations(): void {
    for (const [itsKey, object] of [...this.objects]) {
      if (!isTerminating(object)) continue;
      if (object.kind === 'Deployment') this.objects.delete(itsKey);
      if (object.kind !== 'Namespace') continue;
      for (const [key, inner] of this.objects) {
        if (inner === object || inner.metadata.namespace === object.metadata.name) this.objects.delete(key);
      }
    }
  }

  /** Lets every Deployment reach its number of workers. */
  finishRollouts(): void {
    for (const object of [...this.objects.values()]) {
      if (object.kind !== 'Deployment') continue;
      const { replicas } = object.spec as { replicas: number };
      const counts = { replicas, updatedReplicas: replicas, readyReplicas: replicas, availableReplicas: replicas };
      this.put({ ...object, status: { observedGeneration: object.metadata.generation ?? 0, ...counts } });
    }
  }

  #create(key: ObjectKey, object: KubeObject): ObservedObject {
    if (this.objects.has(keyText(key))) throw new ClusterError('conflict', `${keyText(key)} is there already`);
    if (key.namespace !== '') {
      const namespace = this.objects.get(keyText({ kind: 'Namespace', namespace: '', name: key.namespace }));
      if (!namespace) throw new ClusterError('gone', `namespace ${key.namespace} is not there`);
      if (isTerminating(namespace)) throw new ClusterError('terminating', `namespace ${key.namespace} is ending`);
    }
    return this.put({ ...object, metadata: { ...object.metadata, generation: 1 } });
  }

  #replace(key: ObjectKey, object: ObservedObject): ObservedObject {
    const found = this.objects.get(keyText(key));
    if (!found) throw new ClusterError('gone', `${keyText(key)} is not there`);
    const { uid, resourceVersion } = object.metadata;
    if (found.metadata.uid !== uid || found.metadata.resourceVersion !== resourceVersion) {
      throw new ClusterError('conflict', `${keyText(key)} has changed`);
    }
    const generation = (found.metadata.generation ?? 0) + 1;
    return this.put({ ...object, status: found.status, metadata: { ...object.metadata, generation } });
  }

  #delete(key: ObjectKey, uid: string): null {
    const found = this.objects.get(keyText(key));
    if (!found) throw new ClusterError('gone', `${keyText(key)} is not there`);
    if (found.metadata.uid !== uid) throw new ClusterError('conflict', `${keyText(key)} is another object by now`);
    // A Deployment goes after its workers, as the executor asks.
    if (found.kind === 'Namespace' || found.kind === 'Deployment') {
      this.put({ ...found, metadata: { ...found.metadata, deletionTimestamp: new Date(0).toISOString() } });
    } else this.objects.delete(keyText(key));
    return null;
  }
}
