import type { JobId, StoreId } from '../job/ids.ts';

/** Kubernetes objects as plain data, and the table of kinds that a cell is made of. */

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string | null;
  readonly deletionTimestamp?: string;
  readonly [field: string]: unknown;
}

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: CellKind;
  readonly metadata: ObjectMeta;
  readonly [field: string]: unknown;
}

/**
 * The kinds of a cell in the order in which they are made: walls before workers, so that no worker ever runs outside
 * its quota and network policy. For what replaces them see inSteps().
 */
export const CELL_KINDS = {
  Namespace: { apiVersion: 'v1', resource: 'namespaces', namespaced: false },
  ServiceAccount: { apiVersion: 'v1', resource: 'serviceaccounts', namespaced: true },
  ResourceQuota: { apiVersion: 'v1', resource: 'resourcequotas', namespaced: true },
  LimitRange: { apiVersion: 'v1', resource: 'limitranges', namespaced: true },
  NetworkPolicy: { apiVersion: 'networking.k8s.io/v1', resource: 'networkpolicies', namespaced: true },
  Deployment: { apiVersion: 'apps/v1', resource: 'deployments', namespaced: true },
  PodDisruptionBudget: { apiVersion: 'policy/v1', resource: 'poddisruptionbudgets', namespaced: true },
  Service: { apiVersion: 'v1', resource: 'services', namespaced: true },
} as const;

export type CellKind = keyof typeof CELL_KINDS;

export const CELL_KIND_NAMES = Object.keys(CELL_KINDS) as readonly CellKind[];

/** Those that a cell among others has, in the same order: what speaks of a whole namespace is the tenant's there. */
export const SHARED_KINDS = [
  'ServiceAccount',
  'NetworkPolicy',
  'Deployment',
  'PodDisruptionBudget',
  'Service',
] as const satisfies readonly CellKind[];

/** Which object: kind, namespace (empty for a Namespace) and name. */
export interface ObjectKey {
  readonly kind: CellKind;
  readonly namespace: string;
  readonly name: string;
}

export const keyText = (key: ObjectKey): string => `${key.kind}/${key.namespace}/${key.name}`;

export const keyOf = (object: KubeObject): ObjectKey => ({
  kind: object.kind,
  namespace: object.metadata.namespace ?? '',
  name: object.metadata.name,
});

/** How people read a key: `Deployment clicks`, since a cell's namespace is said beside it. */
export const shortKey = (key: ObjectKey): string => `${key.kind} ${key.name}`;

/** An object that is in the cluster. The API server gave it a UID and a version. */
export interface ObservedObject extends KubeObject {
  readonly metadata: ObjectMeta & { readonly uid: string; readonly resourceVersion: string };
}

export const LABELS = {
  managedBy: 'app.kubernetes.io/managed-by',
  store: 'bulkhead.dev/store',
  jobId: 'bulkhead.dev/job-id',
  tenant: 'bulkhead.dev/tenant',
  job: 'bulkhead.dev/job',
  revision: 'bulkhead.dev/revision',
} as const;

/**
 * What counts of the revision that an object shows. Workers always show that of their goal, so that it can be seen; every
 * other object shows the one that it was last written for, whichever that was: an edit writes what it changes, and no more.
 */
export const countedRevision = (kind: CellKind, shown: string | null | undefined): string =>
  kind !== 'Deployment' && /^[1-9]\d*$/.test(shown ?? '') ? 'any' : (shown ?? '');

/**
 * Under which epoch an object was last written, and under which it is being deleted: `SHARD:SYSTEM/TIMELINE/N`. For the
 * fence alone: the first takes no part in hashes and is never drift.
 */
export const ANNOTATIONS = { epoch: 'bulkhead.dev/epoch', deleting: 'bulkhead.dev/deleting' } as const;

export const LABEL_PREFIX = 'bulkhead.dev/';
export const MANAGER = 'bulkhead';

/** Whose an object is, seen from one job of one store. */
export type Ownership = 'ours' | 'other-job' | 'foreign';

/** What an object's labels say of whose it is. */
export interface Owner {
  /** null where no store is named. */
  readonly store: string | null;
  /** Empty where no job is named. */
  readonly jobId: string;
}

/** An object is ours only if both the store's and the job's id match; the same store's other jobs are told apart. */
export function ownership(owner: Owner, storeId: StoreId, jobId: JobId): Ownership {
  if (owner.store !== storeId) return 'foreign';
  return owner.jobId === jobId ? 'ours' : 'other-job';
}

export const isTerminating = (object: KubeObject): boolean => object.metadata.deletionTimestamp !== undefined;
