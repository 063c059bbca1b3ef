import { z } from 'zod';
import { FENCE_NAMESPACE } from '../cluster/epoch-fence-data.ts';
import { crdPath, groupPath } from '../cluster/paths.ts';
import type { Caller } from '../cluster/transport.ts';
import { CELL_KINDS, LABEL_PREFIX, LABELS, MANAGER } from '../plan/objects.ts';
import { CRD_NAME } from '../plan/stream-job.ts';
import { ClusterError } from '../ports/cluster.ts';

/** What of Bulkhead is in a cluster, found by its names and labels alone, so that no database is needed to find it. */

/** An object, as far as removing it needs to know it. */
export interface Found {
  readonly path: string;
  readonly uid: string;
  /** For people, as kubectl names it: `namespace/bh-ads-clicks`, `deployment/clicks -n ads`. */
  readonly text: string;
  readonly isTerminating: boolean;
  readonly resourceVersion: string;
  readonly finalizers: readonly string[];
}

const KEEPALIVE = 'bulkhead-keepalive';
/** On everything that install.yaml brings. */
const INSTALLED = 'app.kubernetes.io/name=bulkhead';
const OF_CELLS = `${LABELS.managedBy}=${MANAGER},${LABELS.store}`;
const PAGE_SIZE = 500;

const itemSchema = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().optional(),
    uid: z.string(),
    resourceVersion: z.string(),
    deletionTimestamp: z.string().optional(),
    finalizers: z.array(z.string()).default([]),
  }),
});
const pageSchema = z.looseObject({
  metadata: z.looseObject({ continue: z.string().optional() }),
  items: z.array(itemSchema).nullable(),
});
const groupSchema = z.looseObject({ versions: z.array(z.looseObject({ groupVersion: z.string() })) });
const resourcesSchema = z.looseObject({ resources: z.array(z.looseObject({ name: z.string() })) });
const crdSchema = z.looseObject({
  spec: z.looseObject({ versions: z.array(z.looseObject({ name: z.string(), served: z.boolean() })) }),
});

/** null instead of the error that says that there is no such thing, or no such kind of things. */
async function orNull<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof ClusterError && error.kind === 'gone') return null;
    throw error;
  }
}

/** @param base of the group and version, such as `/apis/apps/v1` */
function found(base: string, resource: string, raw: unknown): Found {
  const { name, namespace, uid, resourceVersion, deletionTimestamp, finalizers } = itemSchema.parse(raw).metadata;
  const singular = resource.replace(/ies$/, 'y').replace(/s$/, '');
  return {
    path: `${base}${namespace === undefined ? '' : `/namespaces/${namespace}`}/${resource}/${name}`,
    uid,
    text: `${singular}/${name}${namespace === undefined ? '' : ` -n ${namespace}`}`,
    isTerminating: deletionTimestamp !== undefined,
    resourceVersion,
    finalizers,
  };
}

/** All pages; empty where the kind or the namespace is not there. @throws ClusterError */
async function list(api: Caller, base: string, resource: string, labelSelector = '', namespace = ''): Promise<Found[]> {
  const path = `${base}${namespace && `/namespaces/${namespace}`}/${resource}`;
  const all: Found[] = [];
  let next = '';
  do {
    const query = {
      limit: String(PAGE_SIZE),
      ...(labelSelector && { labelSelector }),
      ...(next && { continue: next }),
    };
    const answer = await orNull(api.call('GET', path, { query }));
    if (answer === null) return [];
    const page = pageSchema.parse(answer);
    all.push(...(page.items ?? []).map((item) => found(base, resource, item)));
    next = page.metadata.continue ?? '';
  } while (next !== '');
  return all;
}

async function one(api: Caller, base: string, resource: string, name: string, namespace = ''): Promise<Found[]> {
  const path = `${base}${namespace && `/namespaces/${namespace}`}/${resource}/${name}`;
  const answer = await orNull(api.call('GET', path));
  return answer === null ? [] : [found(base, resource, answer)];
}

/** What runs the operator, from what makes it to what is made. */
export async function operatorObjects(api: Caller): Promise<Found[]> {
  return [
    ...(await one(api, '/apis/apps/v1', 'deployments', 'bulkhead-operator', FENCE_NAMESPACE)),
    ...(await list(api, '/apis/apps/v1', 'replicasets', INSTALLED, FENCE_NAMESPACE)),
    ...(await list(api, '/api/v1', 'pods', INSTALLED, FENCE_NAMESPACE)),
  ];
}

const isKeepalive = ({ path }: Found): boolean => path.endsWith(`/${KEEPALIVE}`);

/** Admission policies, or what binds them, without the one that outlives an uninstall. */
export async function admissionObjects(api: Caller, part: 'bindings' | 'policies'): Promise<Found[]> {
  return (await allAdmission(api, part)).filter((object) => !isKeepalive(object));
}

/** The policy that keeps the API server's eye on ConfigMaps, with its binding first: see manifests/admission. */
export async function keepaliveObjects(api: Caller): Promise<Found[]> {
  return [...(await allAdmission(api, 'bindings')), ...(await allAdmission(api, 'policies'))].filter(isKeepalive);
}

async function allAdmission(api: Caller, part: 'bindings' | 'policies'): Promise<Found[]> {
  const suffix = part === 'bindings' ? 'admissionpolicybindings' : 'admissionpolicies';
  const group = '/apis/admissionregistration.k8s.io';
  const { versions } = groupSchema.parse(await api.call('GET', group));
  const all = new Map<string, Found>();
  // Mutating policies are younger than validating ones and may be served under an older version only.
  for (const { groupVersion } of versions) {
    const base = `/apis/${groupVersion}`;
    const { resources } = resourcesSchema.parse(await api.call('GET', base));
    for (const { name } of resources) {
      if (name !== `validating${suffix}` && name !== `mutating${suffix}`) continue;
      for (const object of await list(api, base, name, INSTALLED)) {
        if (!all.has(object.uid)) all.set(object.uid, object);
      }
    }
  }
  return [...all.values()];
}

export const crdObjects = (api: Caller): Promise<Found[]> =>
  one(api, '/apis/apiextensions.k8s.io/v1', 'customresourcedefinitions', CRD_NAME);

/** Every StreamJob; none where the CRD is not there. Also of a CRD that is on its way out. */
export async function streamJobs(api: Caller): Promise<Found[]> {
  const crd = await orNull(api.call('GET', crdPath(CRD_NAME)));
  const version = crd === null ? undefined : crdSchema.parse(crd).spec.versions.find(({ served }) => served)?.name;
  return version === undefined ? [] : list(api, `/apis/bulkhead.dev/${version}`, 'streamjobs');
}

export const isOurs = (finalizer: string): boolean => finalizer.startsWith(LABEL_PREFIX);

/** The namespaces that are cells. */
export const cellNamespaces = (api: Caller): Promise<Found[]> => list(api, '/api/v1', 'namespaces', OF_CELLS);

/** Objects of cells in namespaces that are not cells themselves: tier `shared`. */
export async function sharedObjects(api: Caller): Promise<Found[]> {
  const cells = new Set((await cellNamespaces(api)).map(({ path }) => `${path}/`));
  const all: Found[] = [];
  for (const { apiVersion, resource, namespaced } of Object.values(CELL_KINDS)) {
    if (!namespaced) continue;
    const base = groupPath(apiVersion);
    const inCell = ({ path }: Found): boolean =>
      cells.has(`/api/v1${path.slice(base.length).replace(/^(\/namespaces\/[^/]+\/).*$/, '$1')}`);
    all.push(...(await list(api, base, resource, OF_CELLS)).filter((object) => !inCell(object)));
  }
  return all;
}

/** Roles and their bindings, in the whole cluster and in single namespaces, bindings first. */
export async function rightsObjects(api: Caller): Promise<Found[]> {
  const base = '/apis/rbac.authorization.k8s.io/v1';
  const kinds = ['clusterrolebindings', 'rolebindings', 'clusterroles', 'roles'];
  return (await Promise.all(kinds.map((kind) => list(api, base, kind, INSTALLED)))).flat();
}

export const systemNamespace = (api: Caller): Promise<Found[]> => one(api, '/api/v1', 'namespaces', FENCE_NAMESPACE);

/** The namespace of install-dev.yaml's Postgres. It is never removed: the goals are in it. */
export const devPostgres = (api: Caller): Promise<Found[]> => one(api, '/api/v1', 'namespaces', 'bulkhead-postgres');

/** What a namespace that does not end says about why. */
export async function whyNamespaceStays(api: Caller, path: string): Promise<string> {
  const conditions = z.looseObject({
    status: z.looseObject({
      conditions: z.array(z.looseObject({ status: z.string(), message: z.string().default('') })).default([]),
    }),
  });
  const answer = await orNull(api.call('GET', path));
  if (answer === null) return '';
  const said = conditions.parse(answer).status.conditions.filter(({ status, message }) => status === 'True' && message);
  return said.map(({ message }) => message).join('; ');
}
