import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { execa } from 'execa';
import { parseAllDocuments, stringify } from 'yaml';
import { LABELS, MANAGER } from '../../src/plan/objects.ts';
import { type ControlPlaneCluster, up } from '../cluster/index.ts';
import { localkube } from '../cluster/localkube.ts';
import { readInstall } from '../cluster/manifests.ts';
import { until } from '../support/until.ts';

/** Installing with the very file that people apply, and `bulkhead uninstall`, on a real API server. No database at all. */

const CHECKOUT = join(import.meta.dirname, '../..');
const STORE = '11111111-1111-4111-8111-111111111111';
const FINALIZER = `bulkhead.dev/store.${STORE}`;
const TENANT = 'ads';
const CELL = 'bh-ads-clicks-0000000000';
const JOBS = ['clicks', 'orders', 'views'];
const LABELS_OF_CELL = { [LABELS.managedBy]: MANAGER, [LABELS.store]: STORE, [LABELS.jobId]: STORE };

type Manifest = Readonly<Record<string, unknown>> & { readonly kind: string };

describe('bulkhead uninstall', { timeout: 8 * 60_000 }, () => {
  let cluster: ControlPlaneCluster;
  let binary: string;
  let install: string;

  const kubectl = async (args: readonly string[], input?: string): Promise<string> => {
    const env = { KUBECONFIG: cluster.kubeconfigPath };
    return (await execa(binary, ['kubectl', ...args], { env, ...(input !== undefined && { input }) })).stdout;
  };
  /** What tenants and people may not do, so that a test can put together what an operator would have made. */
  const breakGlass = (args: readonly string[], input?: string) =>
    kubectl(['--as=test', '--as-group=bulkhead:break-glass', '--as-group=system:masters', ...args], input);
  const bulkhead = (...args: string[]) =>
    execa(process.execPath, [join(CHECKOUT, 'src/cli/main.ts'), 'uninstall', ...args], {
      // A database that would be asked for could not be reached.
      env: { KUBECONFIG: cluster.kubeconfigPath, DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none', NO_COLOR: '1' },
      reject: false,
    });
  const names = async (kind: string) => (await kubectl(['get', kind, '-A', '-o', 'name'])).split('\n').filter(Boolean);
  const apply = (text = install) => kubectl(['apply', '--server-side', '-f', '-'], text);
  const isThere = async (kind: string, name: string) =>
    (await kubectl(['get', kind, name, '--ignore-not-found', '-o', 'name'])) !== '';

  before(async () => {
    binary = await localkube();
    install = await readInstall('install.yaml');
    cluster = await up('control-plane', { name: 'test-uninstall', fsync: false, fresh: true });
    await kubectl(['create', 'namespace', TENANT]);
  });
  after(() => cluster?.down());

  /** Bulkhead as it is after a while: jobs that its finalizer holds, a cell, and one in the tenant's own namespace. */
  async function installed(): Promise<void> {
    await apply();
    const jobs = JOBS.map((name) => ({
      apiVersion: 'bulkhead.dev/v1alpha1',
      kind: 'StreamJob',
      metadata: { name, namespace: TENANT, finalizers: [FINALIZER] },
      spec: { container: { image: 'registry.example/app:1' } },
    }));
    const account = { apiVersion: 'v1', kind: 'ServiceAccount' };
    const cell = [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: CELL, labels: LABELS_OF_CELL } },
      { ...account, metadata: { name: 'clicks', namespace: CELL, labels: LABELS_OF_CELL } },
      { ...account, metadata: { name: 'shared', namespace: TENANT, labels: LABELS_OF_CELL } },
    ];
    const objects = [...jobs, ...cell].map((object) => stringify(object)).join('---\n');
    // Policies that mutate learn of a new kind some seconds after it was made; until then its objects are refused.
    await until('the API server takes StreamJobs', 60_000, async () => {
      const refused = await breakGlass(['apply', '-f', '-'], objects).catch((error: unknown) => String(error));
      if (!refused.includes('Kind=StreamJob not found') && refused.includes('Command failed')) throw new Error(refused);
      return !refused.includes('Command failed');
    });
  }

  async function assertNothingLeft(): Promise<void> {
    assert.equal(await isThere('crd', 'streamjobs.bulkhead.dev'), false);
    for (const namespace of ['bulkhead-system', CELL]) assert.equal(await isThere('namespace', namespace), false);
    const left = await kubectl(['get', 'clusterroles,clusterrolebindings', '-l', 'app.kubernetes.io/name=bulkhead']);
    assert.equal(left, '');
    assert.deepEqual(await names('validatingadmissionpolicybindings'), [
      'validatingadmissionpolicybinding.admissionregistration.k8s.io/bulkhead-keepalive',
    ]);
    assert.deepEqual(await names('mutatingadmissionpolicies'), []);
    assert.equal(await isThere('namespace', TENANT), true, "a tenant's namespace is the tenant's");
    assert.equal((await names(`serviceaccounts`)).includes('serviceaccount/shared'), false);
  }

  describe('of an installation that works', () => {
    beforeEach(installed);

    it('shows what would go and touches nothing without a word from a person', async () => {
      const dry = await bulkhead('--dry-run');
      assert.equal(dry.exitCode, 0, dry.stderr);
      for (const word of [
        'deployment/bulkhead-operator',
        `namespace/${CELL}`,
        'streamjob/clicks',
        'serviceaccount/shared',
      ]) {
        assert.ok(dry.stdout.includes(word), `${word} in ${dry.stdout}`);
      }
      const asked = await bulkhead();
      assert.equal(asked.exitCode, 1);
      assert.match(asked.stderr, /say --yes if it is meant/);
      assert.equal((await names('streamjobs')).length, JOBS.length);
      assert.equal(await isThere('namespace', CELL), true);
    });

    it('leaves nothing but the inert policy, and nothing is stuck', async () => {
      const { exitCode, stderr } = await bulkhead('--yes');
      assert.equal(exitCode, 0, stderr);
      await assertNothingLeft();
      assert.match(stderr, /Kept: the admission policy bulkhead-keepalive/);
      assert.match(stderr, /goals are in Postgres as they were/);
    });

    it('--keep-workers leaves every object of the cells as it was', async () => {
      const { exitCode, stderr } = await bulkhead('--yes', '--keep-workers');
      assert.equal(exitCode, 0, stderr);
      assert.equal(await isThere('crd', 'streamjobs.bulkhead.dev'), false);
      assert.equal(await isThere('namespace', CELL), true);
      const kept = await kubectl(['get', 'serviceaccounts', '-A', '-l', `${LABELS.store}=${STORE}`, '-o', 'name']);
      assert.deepEqual(kept.split('\n').sort(), ['serviceaccount/clicks', 'serviceaccount/shared']);
      await bulkhead('--yes');
    });

    it('killed half-way, it goes on when it is said again', async () => {
      const first = bulkhead('--yes');
      await new Promise<void>((done) => {
        first.stderr.on('data', (text) => String(text).includes('Gone: finalizers') && done());
      });
      first.kill('SIGKILL');
      await first;
      assert.equal((await bulkhead('--yes')).exitCode, 0);
      await assertNothingLeft();
    });

    it("a StreamJob that somebody else's finalizer holds is theirs to release", async () => {
      const held = { metadata: { finalizers: [FINALIZER, 'example.com/theirs'] } };
      await breakGlass(['patch', 'sj', '-n', TENANT, 'clicks', '--type=merge', '-p', JSON.stringify(held)]);
      const running = bulkhead('--yes');
      await new Promise<void>((done) => {
        running.stderr.on('data', (text) => String(text).includes('Gone: namespaces of cells') && done());
      });
      const finalizers = await kubectl(['get', 'sj', '-n', TENANT, 'clicks', '-o', 'jsonpath={.metadata.finalizers}']);
      assert.equal(finalizers, '["example.com/theirs"]');
      await kubectl(['patch', 'sj', '-n', TENANT, 'clicks', '--type=merge', '-p', '{"metadata":{"finalizers":[]}}']);
      assert.equal((await running).exitCode, 0);
    });
  });

  it('frees what already hangs: the operator gone, CRD and tenant on their way out, finalizers in the way', async () => {
    await installed();
    await kubectl(['delete', 'namespace', 'bulkhead-system', '--wait=true', '--timeout=60s']);
    await kubectl(['delete', 'crd', 'streamjobs.bulkhead.dev', '--wait=false']);
    assert.equal((await names('streamjobs')).length, JOBS.length, 'they hang');
    const { exitCode, stderr } = await bulkhead('--yes');
    assert.equal(exitCode, 0, stderr);
    await assertNothingLeft();
  });

  it('says so where there is nothing to remove, and --purge takes the last policy', async () => {
    const nothing = await bulkhead('--yes');
    assert.equal(nothing.exitCode, 0);
    assert.match(nothing.stderr, /^Nothing of Bulkhead is left/);
    const purge = await bulkhead('--yes', '--purge');
    assert.equal(purge.exitCode, 0, purge.stderr);
    assert.deepEqual(await names('validatingadmissionpolicies'), []);
  });

  it('install.yaml is the whole install in any order of its objects, applied twice it changes nothing', async () => {
    const objects = parseAllDocuments(install).map((document) => document.toJS() as Manifest);
    const crds = objects.filter(({ kind }) => kind === 'CustomResourceDefinition');
    const others = objects.filter(({ kind }) => kind !== 'CustomResourceDefinition');
    const text = (some: readonly Manifest[]) => some.map((object) => JSON.stringify(object)).join('\n---\n');
    await apply(text(others));
    await apply(text(crds));
    // Not the version, which a policy's status moves too, once its expressions are checked.
    const versions = () =>
      kubectl(['get', 'validatingadmissionpolicies,crd', '-o', 'jsonpath={..metadata.generation}']);
    const before = await versions();
    await apply();
    await apply();
    assert.equal(await versions(), before);
  });
});
