import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { COMPONENTS } from '../cluster/control-plane/index.ts';
import { type ControlPlaneCluster, status, up } from '../cluster/index.ts';
import { KUBERNETES_VERSION, localkube } from '../cluster/localkube.ts';
import { run } from '../cluster/progress.ts';

/** Its own cluster: it is killed here, and nobody else shall notice. */
const NAME = 'test-control-plane';

describe('the control-plane cluster', () => {
  let binary: string;
  let cluster: ControlPlaneCluster;

  const kubectl = (...args: string[]) => run(binary, ['kubectl', '--kubeconfig', cluster.kubeconfigPath, ...args]);
  const pids = async () =>
    Object.fromEntries(await Promise.all(COMPONENTS.map(async (c) => [c, await cluster.pid(c)])));

  before(async () => {
    binary = await localkube();
    cluster = await up('control-plane', { name: NAME, fsync: false, fresh: true });
  });
  after(() => cluster?.down());

  it('is the Kubernetes it says it is, and says so to kubectl', async () => {
    const versions = JSON.parse(await kubectl('version', '-o', 'json'));
    assert.equal(versions.serverVersion.gitVersion, KUBERNETES_VERSION);
    assert.equal(versions.clientVersion.gitVersion, KUBERNETES_VERSION);
    assert.equal(await kubectl('config', 'current-context'), cluster.context);
  });

  it('is left alone by up() while it is healthy', async () => {
    const before = await pids();
    await up('control-plane', { name: NAME });
    assert.deepEqual(await pids(), before);
    const own = (await status()).filter(({ kind, name }) => kind === 'control-plane' && name === NAME);
    assert.deepEqual(
      own.map(({ state, kubeconfigPath }) => ({ state, kubeconfigPath })),
      [{ state: 'running', kubeconfigPath: cluster.kubeconfigPath }],
    );
  });

  it('runs the pods of a Deployment on its fake nodes, so that rollouts end', async () => {
    await kubectl('create', 'deployment', 'web', '--image=example.com/web:1', '--replicas=2');
    await kubectl('wait', '--for=condition=Available', 'deployment/web', '--timeout=60s');
    const pods = JSON.parse(await kubectl('get', 'pods', '-l', 'app=web', '-o', 'json'));
    assert.equal(pods.items.length, 2);
    for (const pod of pods.items) assert.match(pod.spec.nodeName, /^fake-\d+$/);
    const resources = '--requests=cpu=500m,memory=1Gi,ephemeral-storage=1Gi';
    await kubectl('set', 'resources', 'deployment/web', resources);
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=20s');
  });

  it('refuses what RBAC does not allow, as a real cluster does', async () => {
    const answer = await kubectl('auth', 'can-i', 'delete', 'nodes', '--as=someone').catch((error) => error.message);
    assert.match(answer, /\bno\b/);
  });

  it('gives pods what an in-cluster client needs: a token that the API server accepts and its certificate', async () => {
    await kubectl('create', 'serviceaccount', 'robot');
    const token = await kubectl('create', 'token', 'robot');
    const who = JSON.parse(
      await kubectl('auth', 'whoami', `--token=${token}`, '--kubeconfig=/dev/null', ...(await server()), '-o', 'json'),
    );
    assert.equal(who.status.userInfo.username, 'system:serviceaccount:default:robot');
  });

  it('records in the audit log who wrote what, and with which program', async () => {
    const events = (await readFile(cluster.auditLogPath, 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const created = events.find(({ verb, objectRef }) => verb === 'create' && objectRef?.resource === 'deployments');
    assert.equal(created.objectRef.name, 'web');
    assert.equal(created.level, 'Metadata');
    assert.match(created.userAgent, /kubectl/);
    assert.ok(
      events.some(({ verb, userAgent }) => verb === 'watch' && /kubectl/.test(userAgent)),
      'reads are there too',
    );
  });

  it('comes back on the same address after its API server is killed, the other processes untouched', async () => {
    const before = await pids();
    await cluster.stopComponent('kube-apiserver', 'SIGKILL');
    assert.equal((await status()).find(({ name }) => name === NAME)?.state, 'degraded');
    await up('control-plane', { name: NAME });
    const { 'kube-apiserver': killed, ...others } = before;
    const { 'kube-apiserver': restarted, ...othersNow } = await pids();
    assert.notEqual(restarted, killed);
    assert.deepEqual(othersNow, others);
    assert.match(await kubectl('get', 'deployment', 'web', '-o', 'name'), /web/);
  });

  it('keeps its data when every process is killed at once', async () => {
    const uid = await kubectl('get', 'deployment', 'web', '-o', 'jsonpath={.metadata.uid}');
    await Promise.all(COMPONENTS.map((component) => cluster.stopComponent(component, 'SIGKILL')));
    assert.equal((await status()).find(({ name }) => name === NAME)?.state, 'stopped');
    cluster = await up('control-plane', { name: NAME });
    assert.equal(await kubectl('get', 'deployment', 'web', '-o', 'jsonpath={.metadata.uid}'), uid);
    await kubectl('scale', 'deployment/web', '--replicas=3');
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=20s');
  });

  it('leaves neither a process nor a file behind when it is taken down', async () => {
    const running = Object.values(await pids());
    assert.ok(running.every((pid) => pid !== undefined));
    await cluster.down();
    // This process started some of them: it has to take note of their end before the kernel forgets them.
    await sleep(100);
    for (const pid of running) assert.ok(!existsSync(`/proc/${pid}`), `process ${pid} is gone`);
    assert.ok(!existsSync(cluster.dir));
  });

  async function server(): Promise<string[]> {
    const config = JSON.parse(await kubectl('config', 'view', '--raw', '-o', 'json'));
    return [`--server=${config.clusters[0].cluster.server}`, '--insecure-skip-tls-verify'];
  }
});
