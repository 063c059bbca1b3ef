import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ControlPlaneCluster, up } from '../cluster/index.ts';
import { ApiProxy } from '../support/api-proxy.ts';
import { connect } from '../support/operator.ts';
import { until } from '../support/until.ts';

/** The proxy before the API server does what it says, on a real one. */

let cluster: ControlPlaneCluster;

before(async () => {
  cluster = await up('control-plane', { name: 'fault-tools', fsync: false, fresh: true });
});
after(() => cluster.down());

const configMap = (name: string, value = '1') => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, labels: { mine: 'yes' } },
  data: { value },
});
const PATH = '/api/v1/namespaces/default/configmaps';
const MINE = { labelSelector: 'mine=yes' };

async function through(proxy: ApiProxy) {
  return connect({ kubeconfigPath: await proxy.kubeconfig(), context: cluster.context });
}

test('writes are written down with their answers; one that is cut before does not land, one cut after does', async () => {
  await using proxy = await ApiProxy.to(cluster);
  const api = await through(proxy);
  await api.call('POST', PATH, { body: configMap('one') });
  proxy.hooks = { before: () => 'cut' };
  await assert.rejects(api.call('POST', PATH, { body: configMap('two') }));
  proxy.hooks = { after: () => 'cut' };
  await assert.rejects(api.call('POST', PATH, { body: configMap('three') }));
  const { items } = (await api.call('GET', PATH, { query: MINE })) as { items: { metadata: { name: string } }[] };
  assert.deepEqual(items.map((item) => item.metadata.name).sort(), ['one', 'three']);
  assert.deepEqual(
    proxy.writes.map((w) => [w.number, w.method, w.status]),
    [
      [1, 'POST', 201],
      [2, 'POST', null],
      [3, 'POST', 201],
    ],
  );
  await api.close();
});

test('watches stream; held ones say nothing until the thaw; a stale server answers lists as they were', async () => {
  await using proxy = await ApiProxy.to(cluster);
  const api = await through(proxy);
  const names = async () => {
    const list = (await api.call('GET', PATH, { query: MINE })) as { items: { metadata: { name: string } }[] };
    return list.items.map((item) => item.metadata.name).sort();
  };
  const before = await names();
  const seen: string[] = [];
  const abort = new AbortController();
  const watching = (async () => {
    for await (const line of api.lines(PATH, { ...MINE, watch: 'true', resourceVersion: '0' }, abort.signal)) {
      seen.push((JSON.parse(line) as { object: { metadata: { name: string } } }).object.metadata.name);
    }
  })().catch(() => undefined);
  await until('the watch streams', 5_000, () => seen.length === before.length);
  await proxy.photograph();
  proxy.goStale();
  await api.call('POST', PATH, { body: configMap('four') });
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.deepEqual([await names(), seen.length], [before, before.length]);
  proxy.thaw('deliver');
  await until('the rest comes', 5_000, () => seen.at(-1) === 'four');
  assert.deepEqual(await names(), [...before, 'four'].sort());
  proxy.holdWatches();
  await api.call('POST', PATH, { body: configMap('five') });
  proxy.thaw('discard');
  await watching;
  assert.equal(seen.at(-1), 'four');
  abort.abort();
  await api.close();
});

test('whom a request speaks for is passed on', async () => {
  await using proxy = await ApiProxy.to(cluster);
  const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
  const response = await fetch(`${proxy.url}/apis/authentication.k8s.io/v1/selfsubjectreviews`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'impersonate-user': 'somebody' },
    body: JSON.stringify(review),
  });
  const { status } = (await response.json()) as { status: { userInfo: { username: string } } };
  assert.equal(status.userInfo.username, 'somebody');
});
