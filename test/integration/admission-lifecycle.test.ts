import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { FENCE_PATH } from '../../src/cluster/epoch-fence-data.ts';
import type { Transport } from '../../src/cluster/transport.ts';
import { type ControlPlaneCluster, installAdmission, up } from '../cluster/index.ts';
import { localkube } from '../cluster/localkube.ts';
import { run } from '../cluster/progress.ts';
import { BREAK_GLASS_FLAGS } from '../support/break-glass.ts';
import { asAdministrator, FencedCell, unconfirmed } from '../support/fenced-cell.ts';
import { until } from '../support/until.ts';

/** Policies that come and go, on a real API server: what a removed and re-made installation goes on with. */

const ADMISSION = join(import.meta.dirname, '../../manifests/admission');
/** The policies with a ConfigMap as their parameter, the keepalive apart. */
const COMPARED = ['bulkhead-fence', 'bulkhead-fence-resource'];

let cluster: ControlPlaneCluster;
let api: Transport;

before(async () => {
  cluster = await up('control-plane', { name: 'admission-life', fsync: false, fresh: true });
  api = await asAdministrator(cluster);
});

after(async () => {
  await api?.close();
  await cluster?.down();
});

const kubectl = async (...args: string[]): Promise<string> =>
  run(await localkube(), ['kubectl', '--kubeconfig', cluster.kubeconfigPath, ...args]);

async function unbind(...names: readonly string[]): Promise<void> {
  await kubectl('delete', 'validatingadmissionpolicybinding', ...names);
  await kubectl('delete', 'validatingadmissionpolicy', ...names);
}

/** Whether the policies have gone, or come back, in the API server's own eyes. */
const untilFenced = (isFenced: boolean) =>
  until(`the fence is ${isFenced ? '' : 'not '}kept to`, 15_000, async () => {
    const cell = new FencedCell(api);
    const body = { metadata: { generateName: 'x-', labels: { 'bulkhead.dev/store': cell.storeId } } };
    const options = { query: { dryRun: 'All' }, body };
    const landed = await api.call('POST', '/api/v1/namespaces/default/serviceaccounts', options).then(
      () => true,
      () => false,
    );
    return landed !== isFenced;
  });

const install = () => kubectl('apply', '--server-side', '--force-conflicts', '-k', ADMISSION);

/** The fence follows a raise, or says that the API server has lost sight of it. */
async function raises(): Promise<boolean> {
  const cell = new FencedCell(api);
  try {
    const { raised } = await cell.fence.raise([cell.at(1)], unconfirmed);
    return raised.length === 1;
  } catch (error) {
    assert.equal((error as { kind?: string }).kind, 'unfenced', String(error));
    return false;
  }
}

test('policies that are deleted and made again follow the fence: the keepalive has kept the API server’s eye on it', async () => {
  assert.ok(await raises());
  await unbind(...COMPARED);
  await untilFenced(false);
  await install();
  await untilFenced(true);
  assert.ok(await raises());
});

test('an administrator deletes the operator’s namespace, the fence with it, and installs it again', async () => {
  await kubectl('delete', 'namespace', 'bulkhead-system', '--timeout=60s');
  await assert.rejects(api.call('GET', FENCE_PATH), { kind: 'gone' });
  await install();
  await until('the fence is raised', 20_000, raises);
});

test('the fence by itself is deleted by who breaks the glass alone', async () => {
  await assert.rejects(api.call('DELETE', FENCE_PATH), /bulkhead-fence-keeper/);
  await kubectl('-n', 'bulkhead-system', 'delete', 'configmap', 'bulkhead-fence', ...BREAK_GLASS_FLAGS);
  await installAdmission(cluster);
  assert.ok(await raises());
});

test('without the keepalive the API server would have lost sight of it, until it is restarted', async () => {
  await unbind(...COMPARED, 'bulkhead-keepalive');
  await untilFenced(false);
  await install();
  // Refused all the same: what cannot be compared is not let through.
  await untilFenced(true);
  assert.equal(await raises(), false, 'kubernetes/kubernetes#130887 is mended: the keepalive can go');
  await cluster.stopComponent('kube-apiserver');
  await cluster.startComponent('kube-apiserver');
  await until('the fence is raised', 30_000, raises);
});
