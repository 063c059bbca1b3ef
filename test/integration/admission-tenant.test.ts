import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { MERGE_PATCH, type Transport } from '../../src/cluster/transport.ts';
import { ANNOTATIONS, LABELS, MANAGER } from '../../src/plan/objects.ts';
import { fenceMark } from '../../src/ports/shards.ts';
import { type ControlPlaneCluster, up } from '../cluster/index.ts';
import { localkube } from '../cluster/localkube.ts';
import { run } from '../cluster/progress.ts';
import { BREAK_GLASS_FLAGS } from '../support/break-glass.ts';
import { asAdministrator, FencedCell } from '../support/fenced-cell.ts';
import { until } from '../support/until.ts';
import { asUser } from '../support/users.ts';

/**
 * Who administers a namespace in which jobs of tier `shared` lie, on a real API server: what carries Bulkhead's labels is
 * not theirs to change, and its labels are not theirs to give. All else is.
 */

const NAMESPACE = 'ads';
const CORE = `/api/v1/namespaces/${NAMESPACE}`;
const APPS = `/apis/apps/v1/namespaces/${NAMESPACE}`;
const OURS = { fieldManager: MANAGER };

let cluster: ControlPlaneCluster;
let admin: Transport;
let tenant: Transport;
let cell: FencedCell;
let pod: string;
let replicaSet: string;

before(async () => {
  cluster = await up('control-plane', { name: 'admission-tenant', fsync: false, fresh: true });
  admin = await asAdministrator(cluster);
  tenant = await asUser(cluster, 'tenant');
  await admin.call('POST', '/api/v1/namespaces', { body: { metadata: { name: NAMESPACE } } });
  // All that the role `admin` has, and the subresources that it has not: a policy must not count on that.
  await kubectl('create', 'clusterrole', 'all', '--verb=*', '--resource=*.*');
  await kubectl('-n', NAMESPACE, 'create', 'rolebinding', 'tenant', '--clusterrole=cluster-admin', '--user=tenant');
  cell = new FencedCell(admin);
  const fence = await cell.raise(1);
  for (const object of cell.wanted()) {
    if (['Namespace', 'ResourceQuota', 'LimitRange'].includes(object.kind)) continue;
    await cell.create({ ...object, metadata: { ...object.metadata, namespace: NAMESPACE } }, fence);
  }
  pod = (await until('its worker runs', 30_000, workersName)).value;
  replicaSet = pod.replace(/-[^-]+$/, '');
});

after(async () => {
  await admin?.close();
  await tenant?.close();
  await cluster?.down();
});

const kubectl = async (...args: string[]): Promise<string> =>
  run(await localkube(), ['kubectl', '--kubeconfig', cluster.kubeconfigPath, ...args]);

async function workersName(): Promise<string | null> {
  const { items } = (await admin.call('GET', `${CORE}/pods`)) as {
    items: { metadata: { name: string; deletionTimestamp?: string }; status: { phase: string } }[];
  };
  const [running] = items.filter(({ status, metadata }) => status.phase === 'Running' && !metadata.deletionTimestamp);
  return running?.metadata.name ?? null;
}

type Labels = Readonly<Record<string, string>>;

const container = { name: 'x', image: 'x' };
const template = (labels: Labels) => ({
  metadata: { labels },
  spec: { containers: [container], restartPolicy: 'Always' },
});
const workload = (labels: Labels, metadata: object = {}) => ({
  metadata: { name: 'forged', ...metadata },
  spec: { replicas: 1, selector: { matchLabels: labels }, template: template(labels) },
});
const batch = (labels: Labels) => ({
  template: { metadata: { labels }, spec: { containers: [container], restartPolicy: 'Never' } },
});
const jobId = (): Labels => ({ [LABELS.jobId]: cell.jobId });
const ofCell = (): Labels => ({ ...jobId(), [LABELS.store]: cell.storeId, [LABELS.managedBy]: MANAGER });
const epoch = () => ({ [ANNOTATIONS.epoch]: fenceMark(cell.at(1)) });
const create = (path: string, body: object, query = {}) => tenant.call('POST', path, { body, query });
const merge = (path: string, body: object, query = {}) =>
  tenant.call('PATCH', path, { body, query, contentType: MERGE_PATCH });
const relabel = (path: string, labels: Readonly<Record<string, string | null>>, query = {}) =>
  merge(path, { metadata: { labels } }, query);

/** What a namespace's administrator may come up with, each refused by a policy though RBAC lets it through. */
const ATTACKS: Readonly<Record<string, () => Promise<unknown>>> = {
  'a pod under a job’s labels, for its network rights': () =>
    create(`${CORE}/pods`, { metadata: { name: 'forged', labels: jobId() }, spec: { containers: [container] } }),
  'a pod under the label of a job’s name, which peers are known by': () =>
    create(`${CORE}/pods`, {
      metadata: { name: 'forged', labels: { [LABELS.tenant]: 'ads', [LABELS.job]: 'clicks' } },
      spec: { containers: [container] },
    }),
  'a Deployment whose pods get them': () => create(`${APPS}/deployments`, workload(jobId())),
  'a Deployment that looks like Bulkhead’s, epoch and field manager and all': () =>
    create(`${APPS}/deployments`, workload(ofCell(), { labels: ofCell(), annotations: epoch() }), OURS),
  'a ReplicaSet whose pods get them': () => create(`${APPS}/replicasets`, workload(jobId())),
  'a StatefulSet whose pods get them': () => create(`${APPS}/statefulsets`, workload(jobId())),
  'a DaemonSet whose pods get them': () => create(`${APPS}/daemonsets`, workload(jobId())),
  'a Job whose pods get them': () =>
    create(`/apis/batch/v1/namespaces/${NAMESPACE}/jobs`, { metadata: { name: 'forged' }, spec: batch(jobId()) }),
  'a CronJob whose pods get them': () =>
    create(`/apis/batch/v1/namespaces/${NAMESPACE}/cronjobs`, {
      metadata: { name: 'forged' },
      spec: { schedule: '* * * * *', jobTemplate: { spec: batch(jobId()) } },
    }),
  'a ReplicationController whose pods get them': () =>
    create(`${CORE}/replicationcontrollers`, {
      metadata: { name: 'forged' },
      spec: { replicas: 1, selector: jobId(), template: template(jobId()) },
    }),
  'a worker out of its network policy, by taking its label away': () =>
    relabel(`${CORE}/pods/${pod}`, { [LABELS.jobId]: null }),
  'another image in a running worker': () =>
    tenant.call('PATCH', `${CORE}/pods/${pod}`, {
      body: { spec: { containers: [{ name: 'worker', image: 'mine' }] } },
      contentType: 'application/strategic-merge-patch+json',
    }),
  'a wider network policy': () =>
    merge(`/apis/networking.k8s.io/v1/namespaces/${NAMESPACE}/networkpolicies/clicks`, { spec: { egress: [{}] } }),
  'a wider network policy under Bulkhead’s field manager': () =>
    merge(
      `/apis/networking.k8s.io/v1/namespaces/${NAMESPACE}/networkpolicies/clicks`,
      { spec: { egress: [{}] } },
      OURS,
    ),
  'no network policy': () =>
    tenant.call('DELETE', `/apis/networking.k8s.io/v1/namespaces/${NAMESPACE}/networkpolicies/clicks`),
  'all network policies at once': () =>
    tenant.call('DELETE', `/apis/networking.k8s.io/v1/namespaces/${NAMESPACE}/networkpolicies`),
  'a Deployment deleted': () => tenant.call('DELETE', `${APPS}/deployments/clicks`),
  'a Deployment marked as being deleted, to delete it then': () =>
    merge(
      `${APPS}/deployments/clicks`,
      { metadata: { annotations: { [ANNOTATIONS.deleting]: fenceMark(cell.at(1)) } } },
      OURS,
    ),
  'a Deployment marked by its status': () =>
    merge(`${APPS}/deployments/clicks/status`, {
      metadata: { annotations: { [ANNOTATIONS.deleting]: fenceMark(cell.at(1)) } },
    }),
  'a Deployment without Bulkhead’s labels': () =>
    relabel(`${APPS}/deployments/clicks`, { [LABELS.store]: null, [LABELS.jobId]: null }),
  'a Deployment of another job': () =>
    relabel(`${APPS}/deployments/clicks`, { [LABELS.jobId]: '00000000-0000-4000-8000-000000000000' }, OURS),
  'an own Service that becomes the job’s': async () => {
    await create(`${CORE}/services`, { metadata: { name: 'mine' }, spec: { ports: [{ port: 80 }] } });
    return merge(`${CORE}/services/mine`, { metadata: { labels: ofCell(), annotations: epoch() } }, OURS);
  },
  'a status that says otherwise': () => merge(`${APPS}/deployments/clicks/status`, { status: { replicas: 9 } }),
  'a disruption budget that lets nothing go': () =>
    merge(`/apis/policy/v1/namespaces/${NAMESPACE}/poddisruptionbudgets/clicks/status`, {
      status: { disruptionsAllowed: 0 },
    }),
  'no workers, by the scale of the Deployment': () =>
    merge(`${APPS}/deployments/clicks/scale`, { spec: { replicas: 0 } }),
  'no workers, by the scale of the replica set': () =>
    merge(`${APPS}/replicasets/${replicaSet}/scale`, { spec: { replicas: 0 } }),
  'no workers, by the replica set': () => merge(`${APPS}/replicasets/${replicaSet}`, { spec: { replicas: 0 } }),
  'a replica set deleted': () => tenant.call('DELETE', `${APPS}/replicasets/${replicaSet}`),
  'traffic led elsewhere': () =>
    create(`/apis/discovery.k8s.io/v1/namespaces/${NAMESPACE}/endpointslices`, {
      metadata: { name: 'forged', labels: { ...jobId(), 'kubernetes.io/service-name': 'clicks' } },
      addressType: 'IPv4',
      endpoints: [],
      ports: [],
    }),
};

test('a tenant’s administrator gets no …', async (t) => {
  for (const [what, attack] of Object.entries(ATTACKS)) {
    await t.test(what, async () => {
      const said = await attack().then(() => 'it landed', String);
      assert.match(said, /ValidatingAdmissionPolicy 'bulkhead-fence(-[a-z]+)?'/);
    });
  }
});

test('an autoscaler of a tenant does not scale a cell: it acts for whoever made it', async () => {
  const by = await asUser(cluster, 'system:serviceaccount:kube-system:horizontal-pod-autoscaler');
  try {
    const path = `${APPS}/deployments/clicks/scale`;
    const scale = (await by.call('GET', path)) as object;
    await assert.rejects(by.call('PUT', path, { body: { ...scale, spec: { replicas: 9 } } }), /'bulkhead-fence-scale'/);
  } finally {
    await by.close();
  }
});

test('what is the tenant’s own goes on as ever', async () => {
  const labels = { app: 'own' };
  await create(`${APPS}/deployments`, { ...workload(labels), metadata: { name: 'own' } });
  await until('its pod runs', 30_000, async () => {
    const own = (await tenant.call('GET', `${APPS}/deployments/own`)) as { status?: { readyReplicas?: number } };
    return own.status?.readyReplicas === 1;
  });
  await merge(`${APPS}/deployments/own/scale`, { spec: { replicas: 0 } });
  await tenant.call('DELETE', `${APPS}/deployments/own`);
  await create(`${CORE}/secrets`, { metadata: { name: 'mine' }, stringData: { key: 'value' } });
});

test('workers may be looked into, evicted and deleted: another one comes', async () => {
  const evict = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: pod, namespace: NAMESPACE } };
  await create(`${CORE}/pods/${pod}/eviction`, evict, { dryRun: 'All' });
  const ephemeral = { spec: { ephemeralContainers: [{ name: 'debug', image: 'debug' }] } };
  await tenant.call('PATCH', `${CORE}/pods/${pod}/ephemeralcontainers`, {
    body: ephemeral,
    query: { dryRun: 'All' },
    contentType: 'application/strategic-merge-patch+json',
  });
  await tenant.call('DELETE', `${CORE}/pods/${pod}`);
  await until('another one runs', 30_000, async () => {
    const name = await workersName();
    return name !== null && name !== pod;
  });
});

test('an administrator drains the node of a worker', async () => {
  const name = (await until('a worker runs', 30_000, workersName)).value;
  const { spec } = (await admin.call('GET', `${CORE}/pods/${name}`)) as { spec: { nodeName: string } };
  await kubectl('drain', spec.nodeName, '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=60s');
  await kubectl('uncordon', spec.nodeName);
});

test('who breaks the glass may do all of it, and Bulkhead goes on', async () => {
  const name = (await until('a worker runs', 30_000, workersName)).value;
  await kubectl('-n', NAMESPACE, 'label', 'pod', name, 'note=mine', ...BREAK_GLASS_FLAGS);
  await kubectl('-n', NAMESPACE, 'scale', 'deployment/clicks', '--replicas=2', ...BREAK_GLASS_FLAGS);
  const key = { kind: 'Deployment', namespace: NAMESPACE, name: 'clicks' } as const;
  await until('Bulkhead deletes it', 20_000, async () => {
    const object = await cell.executor.read(key);
    return (
      object === null ||
      (await cell.remove(object, cell.at(1)).then(
        () => true,
        () => false,
      ))
    );
  });
});
