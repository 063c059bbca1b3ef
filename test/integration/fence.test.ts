import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FENCE_PATH } from '../../src/cluster/epoch-fence-data.ts';
import { createPath, objectPath } from '../../src/cluster/paths.ts';
import { MERGE_PATCH, Transport } from '../../src/cluster/transport.ts';
import { SHARD_COUNT, shard } from '../../src/job/ids.ts';
import { ANNOTATIONS, CELL_KIND_NAMES, keyOf, LABELS, type ObservedObject } from '../../src/plan/objects.ts';
import { fenceMark } from '../../src/ports/shards.ts';
import { type ControlPlaneCluster, installAdmission, up } from '../cluster/index.ts';
import { localkube } from '../cluster/localkube.ts';
import { run } from '../cluster/progress.ts';
import { BREAK_GLASS_FLAGS, breakGlass } from '../support/break-glass.ts';
import { asAdministrator, FencedCell, Refusals } from '../support/fenced-cell.ts';
import { until } from '../support/until.ts';

/** The fence on a real API server: stale hands, and those that have no business in a cell, cannot write to it. */

const OURS = { fieldManager: 'bulkhead' };

interface Workers {
  readonly readyReplicas?: number;
  readonly observedGeneration?: number;
}

let cluster: ControlPlaneCluster;
/** The executor writes as the cluster's administrator here: nobody is exempt for being mighty. */
let api: Transport;
let glass: Transport;
const refused = new Refusals();

before(async () => {
  cluster = await up('control-plane', { name: 'fence', fsync: false, fresh: true });
  api = await asAdministrator(cluster);
  glass = await breakGlass(cluster);
});

after(async () => {
  await api?.close();
  await glass?.close();
  await cluster?.down();
});

const kubectl = async (...args: string[]): Promise<string> =>
  run(await localkube(), ['kubectl', '--kubeconfig', cluster.kubeconfigPath, ...args]);

async function cellAt(n: number): Promise<FencedCell> {
  const cell = new FencedCell(api);
  await cell.createAll(await cell.raise(n));
  return cell;
}

const all = (cell: FencedCell): Promise<ObservedObject[]> =>
  Promise.all(CELL_KIND_NAMES.map((kind) => cell.read(kind)));

/** What only a write of somebody's changes, unlike the version, which Kubernetes' own controllers move. */
const written = (objects: readonly ObservedObject[]) =>
  objects.map(({ kind, metadata: { uid, generation, labels, annotations } }) => {
    const { 'deployment.kubernetes.io/revision': _revision, ...others } = annotations ?? {};
    return { kind, uid, generation, labels, annotations: others };
  });

const patch = (by: Transport, object: ObservedObject, body: object, query: Record<string, string> = OURS) =>
  by.call('PATCH', objectPath(keyOf(object)), { query, body, contentType: MERGE_PATCH });

const annotate = (object: ObservedObject, annotations: Record<string, string>) =>
  patch(api, object, { metadata: { annotations } });

const bareDelete = (object: ObservedObject, preconditions?: object) =>
  api.call('DELETE', objectPath(keyOf(object)), {
    body: { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background', preconditions },
  });

test('under the epoch that the fence names, every kind of a cell is made, changed and deleted', async () => {
  const cell = await cellAt(1);
  const fence = cell.at(1);
  for (const object of (await all(cell)).toReversed()) {
    assert.equal(object.metadata.annotations?.[ANNOTATIONS.epoch], fenceMark(fence), object.kind);
    await cell.replaceNow(object.kind, fence);
    await until(`${object.kind} is deleted`, 5_000, async () => {
      const now = await cell.executor.read(keyOf(object));
      if (!now || now.metadata.deletionTimestamp) return true;
      // A controller may have moved its version in between, as it may in a cluster at work.
      await cell.remove(now, fence).catch((error) => assert.equal(error.kind, 'conflict', error.message));
      return null;
    });
  }
});

test('the role in manifests/base is enough to raise the fence and to make, change and delete a cell under it', async () => {
  await kubectl('apply', '-f', 'manifests/base/service-account.yaml', '-f', 'manifests/base/rbac.yaml');
  const user = 'system:serviceaccount:bulkhead-system:bulkhead-operator';
  const operator = new Transport({
    ...api.target,
    headers: async () => ({ ...(await api.target.headers()), 'impersonate-user': user }),
  });
  try {
    const cell = new FencedCell(operator);
    await cell.createAll(await cell.raise(1));
    await cell.replaceNow('Deployment', await cell.raise(2));
    await cell.remove(await cell.read('Namespace'), cell.at(2));
    const others = '/api/v1/namespaces/bulkhead-system/configmaps';
    await assert.rejects(operator.call('GET', others), { kind: 'forbidden' });
    await assert.rejects(operator.call('DELETE', FENCE_PATH), { kind: 'forbidden' });
  } finally {
    await operator.close();
  }
});

test('the epoch is not in the pod template: a new one restarts no worker', async () => {
  const cell = await cellAt(1);
  await cell.replaceNow('Deployment', await cell.raise(2));
  await until('the Deployment’s controller has seen it', 30_000, async () => {
    const { metadata, status } = (await cell.read('Deployment')) as { status?: Workers } & ObservedObject;
    return status?.readyReplicas === 1 && status.observedGeneration === metadata.generation;
  });
  const path = `/apis/apps/v1/namespaces/${cell.key('Deployment').namespace}/replicasets`;
  const { items } = (await api.call('GET', path)) as { items: unknown[] };
  assert.equal(items.length, 1);
});

test('a stale owner can make nothing', async () => {
  const cell = new FencedCell(api);
  const stale = await cell.raise(1);
  const [namespace, ...others] = cell.wanted();
  assert.ok(namespace);
  await cell.create(namespace, await cell.raise(2));
  for (const object of others) {
    const said = await refused.expect('fenced', () => cell.create(object, stale));
    assert.ok(said.includes(fenceMark(stale)) && said.includes(fenceMark(cell.at(2))), said);
  }
  for (const object of others) assert.equal(await cell.executor.read(keyOf(object)), null, object.kind);
});

test('a stale owner can change nothing, also where nobody has touched the object since it wrote it', async () => {
  const cell = await cellAt(1);
  const before = await all(cell);
  await cell.raise(2);
  for (const object of before) {
    await refused.expect('fenced', async () => cell.replace(await cell.read(object.kind), cell.at(1)));
  }
  assert.deepEqual(written(await all(cell)), written(before));
});

test('a stale owner can delete nothing: it cannot even mark', async () => {
  const cell = await cellAt(1);
  const before = await all(cell);
  await cell.raise(2);
  for (const object of before) {
    await refused.expect('fenced', async () => cell.remove(await cell.read(object.kind), cell.at(1)));
  }
  assert.deepEqual(written(await all(cell)), written(before));
});

test('a stale owner that has marked in time deletes nothing after the fence was raised', async () => {
  const cell = await cellAt(1);
  const old = fenceMark(cell.at(1));
  for (const object of await all(cell)) await annotate(object, { [ANNOTATIONS.deleting]: old });
  const before = await all(cell);
  await cell.raise(2);
  for (const object of before) await refused.expect('fenced', () => bareDelete(object, { uid: object.metadata.uid }));
  assert.deepEqual(written(await all(cell)), written(before));
  for (const object of before.toReversed()) {
    const now = await cell.replaceNow(object.kind, cell.at(2));
    assert.equal(now?.metadata.annotations?.[ANNOTATIONS.deleting], undefined, 'a write takes the old mark away');
  }
});

test('an owner whose number is ahead of the fence writes nothing either: equal is equal', async () => {
  const cell = await cellAt(3);
  await refused.expect('fenced', async () => cell.replace(await cell.read('Service'), cell.at(4)));
});

test('a DELETE needs the mark and the UID; without either it is refused under the right epoch too', async () => {
  const cell = await cellAt(1);
  const object = await cell.read('Service');
  const { uid } = object.metadata;
  assert.match(await refused.expect('fenced', () => bareDelete(object, { uid })), /not marked/);
  await annotate(object, { [ANNOTATIONS.deleting]: fenceMark(cell.at(1)) });
  assert.match(await refused.expect('fenced', () => bareDelete(object)), /by UID/);
  assert.match(await refused.expect('fenced', () => bareDelete(object, {})), /by UID/);
  await refused.expect('conflict', () => bareDelete(object, { uid: '00000000-0000-4000-8000-000000000000' }));
  await bareDelete(object, { uid });
  assert.equal(await cell.executor.read(keyOf(object)), null);
});

test('a DELETE of everything in a namespace is refused object by object', async () => {
  const cell = await cellAt(1);
  const object = await cell.read('Service');
  await refused.expect('fenced', () => api.call('DELETE', createPath(keyOf(object))));
  assert.equal((await cell.read('Service')).metadata.uid, object.metadata.uid);
});

test('an object that was made anew meanwhile is not marked: that is a conflict, to be decided again', async () => {
  const cell = await cellAt(1);
  for (const kind of ['Namespace', 'ServiceAccount'] as const) {
    const object = await cell.read(kind);
    const former = { ...object, metadata: { ...object.metadata, uid: '00000000-0000-4000-8000-000000000000' } };
    await refused.expect('conflict', () => cell.remove(former, cell.at(1)));
    assert.deepEqual(written([await cell.read(kind)]), written([object]));
  }
});

test('an object that changed since the decision is not deleted', async () => {
  const cell = await cellAt(1);
  const seen = await cell.read('ServiceAccount');
  await cell.replace(seen, cell.at(1));
  await refused.expect('conflict', () => cell.remove(seen, cell.at(1)));
});

test('a mark that an earlier try has set is not written again', async () => {
  const cell = await cellAt(1);
  const object = await cell.read('ServiceAccount');
  await annotate(object, { [ANNOTATIONS.deleting]: fenceMark(cell.at(1)) });
  const marked = await cell.read('ServiceAccount');
  await annotate(marked, { [ANNOTATIONS.deleting]: fenceMark(cell.at(1)) });
  assert.equal((await cell.read('ServiceAccount')).metadata.resourceVersion, marked.metadata.resourceVersion);
  await cell.remove(marked, cell.at(1));
  assert.equal(await cell.executor.read(keyOf(object)), null);
});

test('only one epoch is an epoch: neither a list of them, nor an empty one, nor the line of a shard that has none', async () => {
  const cell = await cellAt(1);
  await cell.fence.raise([{ ...cell.at(1), shard: shard((cell.shard + 1) % SHARD_COUNT) }], async () => false);
  const lines = Object.values(((await api.call('GET', FENCE_PATH)) as { data: Record<string, string> }).data).join(
    '\n',
  );
  for (const text of ['', '-', '\n', lines, `${fenceMark(cell.at(1))}\n-`]) {
    await refused.expect('fenced', async () => annotate(await cell.read('Service'), { [ANNOTATIONS.epoch]: text }));
  }
});

test('a shard that the fence does not name may not write: missing is no', async () => {
  const cell = new FencedCell(api);
  for (const object of cell.wanted().slice(0, 1)) {
    assert.match(await refused.expect('fenced', () => cell.create(object, cell.at(1))), /names nothing for it/);
  }
});

test('labels cannot be stripped, moved to another store or job, or put on an object that had none', async () => {
  const cell = await cellAt(1);
  const other = await cellAt(1);
  const object = await cell.read('ServiceAccount');
  const relabel = (labels: Record<string, string | null>) => patch(api, object, { metadata: { labels } });
  await refused.expect('fenced', () => relabel({ [LABELS.store]: null }));
  await refused.expect('fenced', () => relabel({ [LABELS.jobId]: null }));
  await refused.expect('fenced', () => relabel({ [LABELS.jobId]: other.jobId }));
  await refused.expect('fenced', () => relabel({ [LABELS.store]: other.storeId }));
  const stranger = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'stranger' } } as const;
  const key = { kind: 'ServiceAccount', namespace: object.metadata.namespace ?? '', name: 'stranger' } as const;
  await api.call('POST', createPath(key), { body: stranger });
  const found = await cell.executor.read(key);
  assert.ok(found);
  await refused.expect('fenced', () =>
    patch(api, found, {
      metadata: {
        labels: { [LABELS.store]: cell.storeId, [LABELS.jobId]: cell.jobId },
        annotations: { [ANNOTATIONS.epoch]: fenceMark(cell.at(1)) },
      },
    }),
  );
});

test('an object keeps its shard: the epoch of another shard does not open it', async () => {
  const cell = await cellAt(1);
  const other = { ...cell.at(1), shard: (await cellAt(1)).shard };
  await cell.fence.raise([other], async () => false);
  await refused.expect('fenced', async () => cell.replace(await cell.read('Service'), other));
});

test('other stores and what is nobody’s go on as if there were no fence', async () => {
  const [mine, theirs] = [await cellAt(1), await cellAt(1)];
  await mine.raise(2);
  await theirs.replace(await theirs.read('Service'), theirs.at(1));
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'nobodys' } };
  await api.call('POST', '/api/v1/namespaces', { body });
  await api.call('DELETE', '/api/v1/namespaces/nobodys');
});

test('an object from before the fence takes its first epoch from its owner', async () => {
  const cell = await cellAt(1);
  const object = await cell.read('Service');
  await patch(glass, object, { metadata: { annotations: { [ANNOTATIONS.epoch]: null } } });
  const now = await cell.replace(await cell.read('Service'), cell.at(1));
  assert.equal(now?.metadata.annotations?.[ANNOTATIONS.epoch], fenceMark(cell.at(1)));
});

test('a deleted cell drains to the end: Kubernetes’ own controllers are not held up', async () => {
  const cell = await cellAt(1);
  await until('its worker is there', 30_000, async () => {
    const { status } = (await cell.read('Deployment')) as { status?: Workers } & ObservedObject;
    return status?.readyReplicas === 1;
  });
  await cell.remove(await cell.read('Namespace'), cell.at(1));
  await until('the namespace is gone', 60_000, async () => (await cell.executor.read(cell.key('Namespace'))) === null);
});

test('an administrator’s edits by kubectl are refused with what to do instead; break-glass is let through', async () => {
  const cell = await cellAt(1);
  const { namespace, name } = cell.key('Deployment');
  const edits = [
    ['annotate', 'deployment', name, 'note=mine'],
    ['label', 'deployment', name, 'bulkhead.dev/store-'],
    ['set', 'image', `deployment/${name}`, 'worker=app:2'],
    ['rollout', 'restart', `deployment/${name}`],
    ['scale', `deployment/${name}`, '--replicas=3'],
    ['delete', 'service', name],
    ['delete', 'namespace', namespace],
  ];
  const before = await all(cell);
  for (const edit of edits) {
    const failure = await kubectl('-n', namespace, ...edit).then(
      () => assert.fail(`kubectl ${edit.join(' ')} landed`),
      (error: Error) => error.message,
    );
    assert.match(failure, /bulkhead apply.*bulkhead:break-glass/, edit.join(' '));
    refused.count += 1;
  }
  assert.deepEqual(written(await all(cell)), written(before));
  for (const edit of edits) await kubectl('-n', namespace, ...edit, ...BREAK_GLASS_FLAGS);
});

test('without the ConfigMap cells stand still and the error says what to install; other objects do not care', async () => {
  const cell = await cellAt(1);
  await glass.call('DELETE', FENCE_PATH);
  const account = await cell.read('ServiceAccount');
  await until('the policy has noticed', 5_000, () =>
    patch(api, account, { metadata: { annotations: { [ANNOTATIONS.epoch]: fenceMark(cell.at(1)) } } }).then(
      () => false,
      (error) => error.kind === 'unfenced',
    ),
  );
  const said = await refused.expect('unfenced', async () => cell.replace(await cell.read('Service'), cell.at(1)));
  assert.match(said, /kubectl apply --server-side -f install.yaml/);
  await refused.expect('unfenced', async () => cell.remove(await cell.read('Service'), cell.at(1)));
  await api.call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'unconcerned' } } });
  await installAdmission(cluster);
  await cell.replace(await cell.read('Service'), await cell.raise(2));
});

test('the attempts that were refused, in all', (t) => {
  t.diagnostic(`${refused.count} attempts were refused, none landed`);
});
