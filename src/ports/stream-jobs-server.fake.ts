import { randomUUID } from 'node:crypto';
import { canonicalJson, type Json } from '../job/canonical.ts';
import { type JobName, jobName, type StoreId } from '../job/ids.ts';
import { changedFields, overlap } from '../job/keepers.ts';
import { withQuantitiesAsText } from '../job/object-spec.ts';
import type { JobSpec } from '../job/spec.ts';
import type { FieldKeeper } from '../job/status.ts';
import { MANAGER } from '../plan/objects.ts';
import {
  finalizerOf,
  type Home,
  type ObservedStreamJob,
  STREAM_JOB_ANNOTATIONS,
  type StreamJobAction,
  type StreamJobEvent,
} from '../plan/stream-job.ts';
import { ClusterError } from './cluster.ts';

/** What an API server keeps: which manager has which fields. */
interface Stored extends ObservedStreamJob {
  readonly owners: ReadonlyMap<string, ReadonlySet<string>>;
}

type Place = 'there' | 'terminating';

/** All that a backup of etcd holds. */
export interface Backup {
  readonly objects: ReadonlyMap<string, Stored>;
  readonly namespaces: ReadonlyMap<string, Place>;
  readonly kind: Place | 'missing';
}

/** Who makes a write by hand: `user` is stamped as its author, but for a scale. */
export interface Hand {
  readonly user: string;
  readonly manager: string;
}

/**
 * StreamJobs of an API server in memory, with hands for the people who use kubectl. Generations move with the spec (and
 * with a deletion), versions with everything; what is being deleted waits for its finalizers, and its home for it.
 * FakeStreamJobs is how one replica sees it.
 */
export class FakeStreamJobServer {
  readonly #storeId: StoreId;
  #objects = new Map<string, Stored>();
  #namespaces = new Map<string, Place>();
  #kind: Place | 'missing' = 'there';
  #version = 100;
  /** Moves when all that was known by watches is void. */
  incarnation = 0;
  /** Writes by Bulkhead that changed something. */
  writes = 0;
  readonly told: StreamJobEvent[] = [];

  constructor(storeId: StoreId, namespaces: readonly string[]) {
    this.#storeId = storeId;
    for (const name of namespaces) this.#namespaces.set(name, 'there');
  }

  get kind(): Place | 'missing' {
    return this.#kind;
  }

  all(): ObservedStreamJob[] {
    return [...this.#objects.values()];
  }

  of(job: JobName): ObservedStreamJob | null {
    return this.#objects.get(jobName(job)) ?? null;
  }

  home(tenant: string): Home {
    if (this.#kind !== 'there') return 'kind terminating';
    const place = this.#namespaces.get(tenant) ?? 'missing';
    return place === 'there' ? 'there' : `namespace ${place}`;
  }

  /** `kubectl apply`, server-side and forced: the manager keeps every field that it states from then on. */
  apply(job: JobName, spec: JobSpec, { user, manager }: Hand): ObservedStreamJob | null {
    if (this.home(job.tenant) !== 'there') return null;
    const known = this.#objects.get(jobName(job));
    const object = known
      ? this.#respecified(known, spec, manager, user)
      : this.#keep({ ...this.#fresh(job, spec, manager), annotations: stamp({}, 1, user) });
    const owners = new Map(object.owners).set(manager, new Set(changedFields(null, spec)));
    return this.#keep({ ...object, owners, keepers: keepersOf(owners) });
  }

  /** `kubectl edit` and the like: only what differs is the manager's from then on. @param hand.user null: as scale is */
  edit(
    job: JobName,
    change: (spec: JobSpec) => JobSpec,
    hand: { readonly user: string | null; readonly manager: string },
  ): ObservedStreamJob | null {
    const known = this.#objects.get(jobName(job));
    return known ? this.#respecified(known, change(known.spec as JobSpec), hand.manager, hand.user) : null;
  }

  scale(job: JobName, replicas: number): ObservedStreamJob | null {
    const scaled = (spec: JobSpec) => ({ ...spec, workers: { ...spec.workers, replicas } });
    return this.edit(job, scaled, { user: null, manager: 'kubectl' });
  }

  /** @returns the object as it was when its deletion began; null where there was none, or it was ending already */
  delete(job: JobName): ObservedStreamJob | null {
    const known = this.#objects.get(jobName(job));
    if (!known || known.isDeleting) return null;
    this.#keep({ ...known, isDeleting: true, generation: known.generation + 1 });
    return known;
  }

  deleteNamespace(name: string): void {
    if (this.#namespaces.get(name) !== 'there') return;
    this.#namespaces.set(name, 'terminating');
    for (const { job } of this.all()) if (job.tenant === name) this.delete(job);
    this.#endHomes();
  }

  makeNamespace(name: string): void {
    if (!this.#namespaces.has(name)) this.#namespaces.set(name, 'there');
  }

  deleteKind(): void {
    if (this.#kind !== 'there') return;
    this.#kind = 'terminating';
    for (const { job } of this.all()) this.delete(job);
    this.#endHomes();
  }

  installKind(): void {
    if (this.#kind === 'missing') this.#kind = 'there';
  }

  /** The cluster is lost, and a new, empty one takes its place: nobody deleted anything. */
  lose(): void {
    this.#objects = new Map();
    this.#namespaces = new Map();
    this.#kind = 'missing';
    this.incarnation += 1;
  }

  backup(): Backup {
    return { objects: new Map(this.#objects), namespaces: new Map(this.#namespaces), kind: this.#kind };
  }

  restore({ objects, namespaces, kind }: Backup): void {
    this.#objects = new Map(objects);
    this.#namespaces = new Map(namespaces);
    this.#kind = kind;
    this.incarnation += 1;
  }

  /** One write by Bulkhead. @throws ClusterError */
  execute(action: StreamJobAction, writtenBy: string): ObservedStreamJob | null {
    if (action.do === 'makeNamespace') {
      if (this.#namespaces.has(action.name)) throw new ClusterError('conflict', `namespace ${action.name} is there`);
      this.makeNamespace(action.name);
      this.writes += 1;
      return null;
    }
    const stored = action.do === 'create' ? this.#create(action) : this.#write(action, writtenBy);
    this.writes += 1;
    return stored;
  }

  #create({ job, spec }: Extract<StreamJobAction, { do: 'create' }>): Stored {
    const name = jobName(job);
    const place = this.#namespaces.get(job.tenant);
    if (this.#kind === 'missing' || !place) throw new ClusterError('gone', `the home of ${name} is not there`);
    if (this.#kind === 'terminating') throw new ClusterError('invalid', 'the kind is being deleted');
    if (place === 'terminating') throw new ClusterError('terminating', `the namespace of ${name} is being deleted`);
    if (this.#objects.has(name)) throw new ClusterError('conflict', `${name} is there already`);
    const fresh = this.#fresh(job, withQuantitiesAsText(spec), MANAGER);
    return this.#keep({ ...fresh, finalizers: [finalizerOf(this.#storeId)] });
  }

  #write(action: Exclude<StreamJobAction, { do: 'create' | 'makeNamespace' }>, writtenBy: string): Stored | null {
    const name = jobName(action.object.job);
    const known = this.#objects.get(name);
    if (!known) throw new ClusterError('gone', `${name} is not there`);
    if (known.uid !== action.object.uid || known.resourceVersion !== action.object.resourceVersion) {
      throw new ClusterError('conflict', `${name} has changed`);
    }
    const annotations = { ...known.annotations, [STREAM_JOB_ANNOTATIONS.writtenBy]: writtenBy };
    const finalizer = finalizerOf(this.#storeId);
    const others = known.finalizers.filter((it) => it !== finalizer);
    switch (action.do) {
      case 'claim':
        if (known.isDeleting && !known.finalizers.includes(finalizer))
          throw new ClusterError('invalid', 'no finalizer may be added to what is being deleted');
        return this.#keep({ ...known, annotations, finalizers: [...others, finalizer] });
      case 'release':
      case 'discard':
        return this.#keep({ ...known, annotations, finalizers: others });
      case 'writeSpec':
        return this.#respecified({ ...known, annotations }, withQuantitiesAsText(action.spec), MANAGER, 'bulkhead');
      case 'writeStatus':
        return this.#keep({ ...known, status: { ...action.status, writtenBy } });
    }
  }

  #fresh(job: JobName, spec: JobSpec, manager: string): Stored {
    const owners = new Map([[manager, new Set(changedFields(null, spec))]]);
    return {
      job,
      uid: randomUUID(),
      resourceVersion: '',
      generation: 1,
      isDeleting: false,
      finalizers: [],
      annotations: {},
      isAnnotated: true,
      spec,
      status: null,
      owners,
      keepers: keepersOf(owners),
      lastManager: manager,
      scaleManager: null,
    };
  }

  #respecified(known: Stored, spec: JobSpec, manager: string, user: string | null): Stored {
    if (canonicalJson(known.spec) === canonicalJson(spec as Json)) return known;
    const generation = known.generation + 1;
    const owners = withOwner(known, spec, manager);
    const annotations = user === null ? known.annotations : stamp(known.annotations, generation, user);
    return this.#keep({
      ...known,
      spec,
      generation,
      annotations,
      owners,
      keepers: keepersOf(owners),
      lastManager: manager,
      scaleManager: null,
    });
  }

  #keep(object: Stored): Stored {
    this.#version += 1;
    const stored = { ...object, resourceVersion: String(this.#version) };
    this.#objects.set(jobName(object.job), stored);
    if (stored.isDeleting && stored.finalizers.length === 0) this.#objects.delete(jobName(object.job));
    this.#endHomes();
    return stored;
  }

  /** What is being deleted goes with the last object in it. */
  #endHomes(): void {
    const used = new Set(this.all().map(({ job }) => job.tenant));
    for (const [name, place] of [...this.#namespaces]) {
      if (place === 'terminating' && !used.has(name)) this.#namespaces.delete(name);
    }
    if (this.#kind === 'terminating' && this.#objects.size === 0) this.#kind = 'missing';
  }
}

const stamp = (annotations: ObservedStreamJob['annotations'], generation: number, user: string) => ({
  ...annotations,
  [STREAM_JOB_ANNOTATIONS.author]: `${generation} ${user}`,
});

/** Who changes a field takes it from all others. */
function withOwner({ owners, spec: before }: Stored, spec: JobSpec, manager: string): Stored['owners'] {
  const changed = changedFields(before as JobSpec, spec);
  const left = [...owners].map(([name, fields]): [string, Set<string>] => [
    name,
    new Set([...fields].filter((field) => !changed.some((other) => overlap(field, other)))),
  ]);
  const there = changedFields(null, spec).filter((field) => changed.some((other) => overlap(field, other)));
  const after = new Map(left);
  return after.set(manager, new Set([...(after.get(manager) ?? []), ...there]));
}

const keepersOf = (owners: Stored['owners']): FieldKeeper[] =>
  [...owners]
    .filter(([manager, fields]) => manager !== MANAGER && fields.size > 0)
    .map(([manager, fields]) => ({ manager, fields: [...fields].sort() }))
    .sort((a, b) => (a.manager < b.manager ? -1 : 1));
