import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { missingRights, OPERATOR_RIGHTS, rightsText, rightsWithin } from '../../src/cli/rights.ts';
import { identify } from '../../src/cluster/identity.ts';
import { createPath, objectPath } from '../../src/cluster/paths.ts';
import { JSON_PATCH, MERGE_PATCH, type Transport } from '../../src/cluster/transport.ts';
import { ANNOTATIONS, LABELS, MANAGER, type ObjectKey, type ObservedObject } from '../../src/plan/objects.ts';
import { ClusterError } from '../../src/ports/cluster.ts';
import type { Fence } from '../../src/ports/shards.ts';
import { fenceMark } from '../../src/ports/shards.ts';
import { type ControlPlaneCluster, up } from '../cluster/index.ts';
import { localkube } from '../cluster/localkube.ts';
import { run } from '../cluster/progress.ts';
import { asAdministrator, FencedCell, Refusals } from '../support/fenced-cell.ts';
import { installStreamJobs, streamJob, streamJobsPath } from '../support/stream-jobs.ts';
import { until } from '../support/until.ts';
import { asUser, OPERATOR_USER } from '../support/users.ts';

/** What the operator's account may do on a real API server: its roles suffice, and a policy ends where they go too far. */

const MANIFESTS = join(import.meta.dirname, '../../manifests');
const OURS = { fieldManager: MANAGER };
const RESTRICTED = { 'pod-security.kubernetes.io/enforce': 'restricted' };
const NAMESPACES = '/api/v1/namespaces';

let cluster: ControlPlaneCluster;
let admin: Transport;
let operator: Transport;
const refused = new Refusals();

before(async () => {
  cluster = await up('control-plane', { name: 'admission-op', fsync: false, fresh: true });
  admin = await asAdministrator(cluster);
  operator = await asUser(cluster, OPERATOR_USER);
  await installStreamJobs(admin);
  for (const name of ['ads', 'foreign']) await admin.call('POST', NAMESPACES, { body: { metadata: { name } } });
  await kubectl('apply', '-f', join(MANIFESTS, 'base/service-account.yaml'), '-f', join(MANIFESTS, 'base/rbac.yaml'));
});

after(async () => {
  await admin?.close();
  await operator?.close();
  await cluster?.down();
});

const kubectl = async (...args: string[]): Promise<string> =>
  run(await localkube(), ['kubectl', '--kubeconfig', cluster.kubeconfigPath, ...args]);

const untilAllowed = (rights: typeof OPERATOR_RIGHTS) =>
  until('the rights are there', 10_000, async () => (await missingRights(operator, rights)).length === 0);

/** A cell of tier `shared`: in its tenant's namespace, without walls around it. */
function sharedObjects(cell: FencedCell) {
  const kinds = ['ServiceAccount', 'NetworkPolicy', 'Deployment', 'PodDisruptionBudget', 'Service'];
  return cell
    .wanted()
    .filter(({ kind }) => kinds.includes(kind))
    .map((object) => ({ ...object, metadata: { ...object.metadata, namespace: 'ads' } }));
}

async function found(cell: FencedCell, key: ObjectKey): Promise<ObservedObject> {
  const object = await cell.executor.read(key);
  assert.ok(object, key.kind);
  return object;
}

/** Again, whatever a controller does to the object's version in between. */
const untilNoConflict = (work: () => Promise<unknown>) =>
  until('no conflict', 20_000, async () => {
    try {
      await work();
      return true;
    } catch (error) {
      if (error instanceof ClusterError && error.kind === 'conflict') return false;
      throw error;
    }
  });

async function streamJobsRoundTrip(cell: FencedCell, fence: Fence): Promise<void> {
  const mark = `${cell.storeId} ${fenceMark(fence)}`;
  const path = streamJobsPath('ads');
  const body = streamJob('mirrored', 1, { annotations: { 'bulkhead.dev/written-by': mark } });
  const { metadata } = (await operator.call('POST', path, { query: OURS, body })) as { metadata: { uid: string } };
  const status = [{ op: 'add', path: '/status', value: { writtenBy: mark } }];
  await operator.call('PATCH', `${path}/mirrored/status`, { query: OURS, body: status, contentType: JSON_PATCH });
  const event = {
    metadata: { generateName: 'mirrored-', namespace: 'ads' },
    regarding: { apiVersion: 'bulkhead.dev/v1alpha1', kind: 'StreamJob', namespace: 'ads', name: 'mirrored' },
    type: 'Normal',
    reason: 'Taken',
    note: 'taken in',
    action: 'Taken',
    reportingController: 'bulkhead.dev/operator',
    reportingInstance: 'bulkhead',
    eventTime: new Date().toISOString().replace('Z', '000Z'),
  };
  await operator.call('POST', '/apis/events.k8s.io/v1/namespaces/ads/events', { body: event });
  await operator.call('DELETE', `${path}/mirrored`, { body: { preconditions: { uid: metadata.uid } } });
}

test('with namespaced Roles alone the operator does all that tier shared takes, and no more', async () => {
  await kubectl('delete', 'clusterrolebinding', 'bulkhead-operator');
  const files = ['roles.yaml', 'tenants.yaml'].flatMap((name) => ['-f', join(MANIFESTS, 'overlays/namespaced', name)]);
  await kubectl('apply', ...files);
  await untilAllowed(rightsWithin(['ads']));
  const missing = await missingRights(operator);
  assert.match(rightsText(missing), /create\/.*namespaces/);

  await identify(operator);
  await operator.call('GET', `${NAMESPACES}/ads`);
  for (const name of ['foreign', 'default', 'bulkhead-system']) {
    await refused.expect('forbidden', () => operator.call('GET', `${NAMESPACES}/${name}`));
  }
  const cell = new FencedCell(operator);
  const fence = await cell.raise(1);
  for (const object of sharedObjects(cell)) {
    await cell.create(object, fence);
    const key = { kind: object.kind, namespace: 'ads', name: object.metadata.name };
    await operator.call('GET', createPath(key), { query: { limit: '1' } });
    await untilNoConflict(async () => cell.replace(await found(cell, key), fence));
  }
  const key = { kind: 'Deployment', namespace: 'ads', name: 'clicks' } as const;
  await untilNoConflict(async () => cell.remove(await found(cell, key), fence));
  await streamJobsRoundTrip(cell, fence);
  await refused.expect('forbidden', () => cell.createAll(fence));
  await kubectl('delete', ...files);
});

test('with its ClusterRole it does all that a cell takes', async () => {
  await kubectl('apply', '-f', join(MANIFESTS, 'base/rbac.yaml'));
  await untilAllowed(OPERATOR_RIGHTS);
  const cell = new FencedCell(operator);
  const fence = await cell.raise(1);
  await cell.createAll(fence);
  for (const { kind } of cell.wanted()) await cell.replaceNow(kind, fence);
  await streamJobsRoundTrip(cell, fence);
  await operator.call('GET', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/streamjobs.bulkhead.dev');
  for (const kind of ['Service', 'Namespace'] as const) await cell.remove(await cell.read(kind), fence);
});

test('it makes a tenant’s lost namespace anew, bare', async () => {
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'lost' } };
  await operator.call('POST', NAMESPACES, { query: OURS, body });
});

interface Attempt {
  readonly what: string;
  readonly work: (cell: FencedCell, labels: Readonly<Record<string, string>>) => Promise<unknown>;
}

const account = (name: string, labels: Readonly<Record<string, string>> = {}, annotations = {}) => ({
  metadata: { name, labels, annotations },
});
const namespaced = (namespace: string, resource: string) => `${NAMESPACES}/${namespace}/${resource}`;
const epochOf = (cell: FencedCell) => ({ [ANNOTATIONS.epoch]: fenceMark(cell.at(1)) });
const create = (path: string, body: object) => operator.call('POST', path, { query: OURS, body });
const merge = (path: string, body: object) =>
  operator.call('PATCH', path, { query: OURS, body, contentType: MERGE_PATCH });
const jobless = (labels: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(labels).filter(([key]) => key !== LABELS.jobId));

/** Each with every right there is: what is tried here, RBAC would let through. */
const ATTEMPTS: readonly Attempt[] = [
  {
    what: 'make a namespace with labels of its own choice',
    work: () => create(NAMESPACES, account('x', { team: 'x' })),
  },
  { what: 'make a bare namespace with annotations', work: () => create(NAMESPACES, account('x', {}, { a: 'b' })) },
  {
    what: 'make a namespace of a cell without Pod Security',
    work: (cell, labels) => create(NAMESPACES, account('x', labels, epochOf(cell))),
  },
  {
    what: 'make a namespace of a cell in which pods may be privileged',
    work: (cell, labels) =>
      create(
        NAMESPACES,
        account('x', { ...labels, 'pod-security.kubernetes.io/enforce': 'privileged' }, epochOf(cell)),
      ),
  },
  {
    what: 'take Pod Security off its cell',
    work: async (cell) => {
      const { name } = cell.key('Namespace');
      return merge(`${NAMESPACES}/${name}`, { metadata: { labels: { 'pod-security.kubernetes.io/enforce': null } } });
    },
  },
  { what: 'delete a foreign namespace', work: () => operator.call('DELETE', `${NAMESPACES}/foreign`) },
  { what: 'delete a tenant’s namespace', work: () => operator.call('DELETE', `${NAMESPACES}/ads`) },
  {
    what: 'label a foreign namespace as its own',
    work: (cell, labels) =>
      merge(`${NAMESPACES}/foreign`, {
        metadata: { labels: { ...labels, ...RESTRICTED }, annotations: epochOf(cell) },
      }),
  },
  { what: 'write what is nobody’s', work: () => create(namespaced('foreign', 'services'), service('x', {})) },
  {
    what: 'change what is another’s',
    work: () => merge(namespaced('foreign', 'serviceaccounts/default'), account('default', { a: 'b' })),
  },
  {
    what: 'take over what is another’s',
    work: (cell, labels) =>
      merge(namespaced('foreign', 'serviceaccounts/default'), account('default', labels, epochOf(cell))),
  },
  {
    what: 'delete what is another’s',
    work: () => operator.call('DELETE', namespaced('foreign', 'serviceaccounts/default')),
  },
  {
    what: 'make an object of a cell in kube-system',
    work: (cell, labels) => create(namespaced('kube-system', 'serviceaccounts'), account('x', labels, epochOf(cell))),
  },
  {
    what: 'make an object of a cell beside the operator',
    work: (cell, labels) =>
      create(namespaced('bulkhead-system', 'serviceaccounts'), account('x', labels, epochOf(cell))),
  },
  {
    what: 'make an object of no job in a tenant’s namespace',
    work: (cell, labels) => create(namespaced('ads', 'serviceaccounts'), account('x', jobless(labels), epochOf(cell))),
  },
  {
    what: 'write an object in its cell without the labels',
    work: (cell) => create(namespaced(cell.key('Service').namespace, 'services'), service('x', {})),
  },
  {
    what: 'write a Secret',
    work: (cell) => create(namespaced(cell.key('Service').namespace, 'secrets'), account('x')),
  },
  {
    what: 'change another ConfigMap',
    work: () => merge(namespaced('kube-system', 'configmaps/kube-root-ca.crt'), { data: {} }),
  },
  {
    what: 'delete the fence',
    work: () => operator.call('DELETE', namespaced('bulkhead-system', 'configmaps/bulkhead-fence')),
  },
  {
    what: 'make a service account’s token',
    work: () => create(namespaced('foreign', 'serviceaccounts/default/token'), { spec: {} }),
  },
  {
    what: 'give itself more rights',
    work: () => create('/apis/rbac.authorization.k8s.io/v1/clusterroles', account('x')),
  },
  {
    what: 'delete the kind',
    work: () =>
      operator.call('DELETE', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/streamjobs.bulkhead.dev'),
  },
  {
    what: 'tell of what is no StreamJob',
    work: () =>
      create('/apis/events.k8s.io/v1/namespaces/foreign/events', {
        metadata: { generateName: 'x-' },
        regarding: { kind: 'Pod', namespace: 'foreign', name: 'x' },
        type: 'Normal',
        reason: 'X',
        action: 'X',
        reportingController: 'x.dev/x',
        reportingInstance: 'x',
        eventTime: '2026-01-01T00:00:00.000000Z',
      }),
  },
  {
    what: 'delete all of a namespace at once',
    work: () => operator.call('DELETE', namespaced('foreign', 'serviceaccounts')),
  },
];

const service = (name: string, labels: Readonly<Record<string, string>>) => ({
  metadata: { name, labels },
  spec: { ports: [{ port: 80 }] },
});

test('though it had every right, it may not …', async (t) => {
  await kubectl('create', 'clusterrolebinding', 'all', '--clusterrole=cluster-admin', `--user=${OPERATOR_USER}`);
  await untilAllowed([{ verb: '*', group: '*', resource: '*' }]);
  const cell = new FencedCell(operator);
  await cell.createAll(await cell.raise(1));
  const labels = { [LABELS.managedBy]: MANAGER, [LABELS.store]: cell.storeId, [LABELS.jobId]: cell.jobId };
  for (const { what, work } of ATTEMPTS) {
    await t.test(what, async () => {
      // Where the fence refuses it as well, either may be named.
      const said = await work(cell, labels).then(() => 'it landed', String);
      assert.match(said, /ValidatingAdmissionPolicy 'bulkhead-(operator|fence|fence-keeper)'/);
    });
  }
});

test('its policy is nobody else’s business', async () => {
  await kubectl('delete', 'clusterrolebinding', 'all');
  await admin.call('POST', namespaced('foreign', 'secrets'), { body: account('by-hand') });
  await admin.call('DELETE', objectPath({ kind: 'Namespace', namespace: '', name: 'foreign' }));
});
