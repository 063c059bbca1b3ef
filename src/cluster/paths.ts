import type { JobName } from '../job/ids.ts';
import { API_VERSION } from '../job/spec.ts';
import { CELL_KINDS, type CellKind, type ObjectKey } from '../plan/objects.ts';

/** Where the kinds of a group and version are served. */
export const groupPath = (apiVersion: string): string =>
  apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;

const within = (namespace: string | null): string => (namespace === null ? '' : `/namespaces/${namespace}`);

/** Where the objects of a kind are listed and watched: those of one namespace, or of all. */
export const collectionPath = (kind: CellKind, namespace: string | null = null): string =>
  `${groupPath(CELL_KINDS[kind].apiVersion)}${within(namespace)}/${CELL_KINDS[kind].resource}`;

export const podsPath = (namespace: string | null = null): string => `/api/v1${within(namespace)}/pods`;

/** Where an object of that kind is created. */
export function createPath({ kind, namespace }: ObjectKey): string {
  const { apiVersion, resource, namespaced } = CELL_KINDS[kind];
  return namespaced
    ? `${groupPath(apiVersion)}/namespaces/${namespace}/${resource}`
    : `${groupPath(apiVersion)}/${resource}`;
}

/** Where one object is read, replaced and deleted. */
export const objectPath = (key: ObjectKey): string => `${createPath(key)}/${key.name}`;

const STREAM_JOBS = `/apis/${API_VERSION}`;

/** Where a tenant's StreamJobs are created and listed; those of all tenants where null. */
export const streamJobsPath = (tenant: string | null): string =>
  tenant === null ? `${STREAM_JOBS}/streamjobs` : `${STREAM_JOBS}/namespaces/${tenant}/streamjobs`;

export const streamJobPath = ({ tenant, name }: JobName): string => `${streamJobsPath(tenant)}/${name}`;

export const namespacePath = (name: string): string => `/api/v1/namespaces/${name}`;

export const crdPath = (name: string): string => `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`;
