import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { CellCache } from '../../src/cluster/cell-cache.ts';
import { decodeObject } from '../../src/cluster/decode.ts';
import { reflect } from '../../src/cluster/reflector.ts';
import type { CallOptions, Query, Transport } from '../../src/cluster/transport.ts';
import { LABELS } from '../../src/plan/objects.ts';
import { type ControlPlaneCluster, up } from '../cluster/index.ts';
import { breakGlass } from '../support/break-glass.ts';
import { JOB_A, STORE } from '../support/goals.ts';
import { until } from '../support/until.ts';

/** How a real API server tells a watch of everything, once a reflector no longer trusts what it was told. */

const ACCOUNTS = '/api/v1/namespaces/default/serviceaccounts';

let cluster: ControlPlaneCluster;
/** Of somebody whom the fence lets through: there is no operator here. */
let api: Transport;

before(async () => {
  cluster = await up('control-plane', { name: 'resync', fsync: false, fresh: true });
  api = await breakGlass(cluster);
});

after(async () => {
  await api?.close();
  await cluster?.down();
});

const account = async (name: string) => {
  const labels = { [LABELS.store]: STORE, [LABELS.jobId]: JOB_A };
  const body = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, labels } };
  return decodeObject('ServiceAccount', await api.call('POST', ACCOUNTS, { body }));
};

test('a resync is one watch: what was missed is gone from the cache, the rest stays, and the watch goes on', async () => {
  const stays = await account('stays');
  const requests: string[] = [];
  let lines = 0;
  const heard = {
    call: (method: 'GET', path: string, options: CallOptions = {}) => {
      requests.push('list');
      return api.call(method, path, options);
    },
    async *lines(path: string, query: Query, signal: AbortSignal) {
      requests.push('watch');
      for await (const line of api.lines(path, query, signal)) {
        lines += 1;
        yield line;
      }
    },
  } as const;
  const cache = new CellCache(new Map(), () => undefined);
  const names = () =>
    cache
      .observe({ id: JOB_A, namespace: '' })
      .objects.map(({ name }) => name)
      .sort();
  const abort = new AbortController();
  const sink = cache.sinkFor('ServiceAccount');
  // As if the watch had lost a deletion.
  const onSynced = () => {
    const { metadata } = stays;
    cache.recordWrite({ ...stays, metadata: { ...metadata, name: 'missed', uid: 'missed', resourceVersion: '1' } }, '');
    assert.deepEqual(names(), ['missed', 'stays']);
  };
  const labelSelector = `${LABELS.store}=${STORE}`;
  const done = reflect(heard, { path: ACCOUNTS, labelSelector, sink, onSynced, resyncMs: 0 }, abort.signal);
  await until('what was missed is gone', 10_000, () => names().join() === 'stays');
  assert.equal(lines, 2, 'the account and the bookmark');
  await account('later');
  await until('what comes later is told', 5_000, () => names().join() === 'later,stays');
  assert.deepEqual(requests, ['list', 'watch'], 'nothing else was asked');
  abort.abort();
  await done;
});
