import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { KubernetesFence } from '../../src/cluster/epoch-fence.ts';
import { FENCE_PATH } from '../../src/cluster/epoch-fence-data.ts';
import { MERGE_PATCH, type Transport, USER_AGENT } from '../../src/cluster/transport.ts';
import type { Epoch } from '../../src/job/epoch.ts';
import { SHARD_COUNT, type Shard, shard } from '../../src/job/ids.ts';
import { LABELS } from '../../src/plan/objects.ts';
import { ClusterError } from '../../src/ports/cluster.ts';
import { type ControlPlaneCluster, installAdmission, up } from '../cluster/index.ts';
import { localkube } from '../cluster/localkube.ts';
import { run } from '../cluster/progress.ts';
import { auditMark, auditSince } from '../support/audit.ts';
import { BREAK_GLASS_FLAGS, breakGlass } from '../support/break-glass.ts';
import { asAdministrator, FencedCell, fenceOf, Refusals, SYSTEM, unconfirmed } from '../support/fenced-cell.ts';
import { until } from '../support/until.ts';

/** Raising the fence, and proving that the cluster keeps to it, on a real API server. */

const SEVEN = shard(7);
const EIGHT = shard(8);
const OTHER_SYSTEM = '7000000000000000002';
const BINDING = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/bulkhead-fence';

let cluster: ControlPlaneCluster;
let api: Transport;
let glass: Transport;

before(async () => {
  cluster = await up('control-plane', { name: 'cluster-fence', fsync: false, fresh: true });
  api = await asAdministrator(cluster);
  glass = await breakGlass(cluster);
});

after(async () => {
  await api?.close();
  await glass?.close();
  await cluster?.down();
});

const newFence = (): FencedCell => new FencedCell(api);
const epoch = (parts: Partial<Epoch> = {}): Epoch => ({ system: SYSTEM, timeline: 1, n: 1, ...parts });
const confirmed = async (): Promise<boolean> => true;

async function raised(cell: FencedCell, at: Shard, parts: Partial<Epoch> = {}): Promise<void> {
  const result = await cell.fence.raise([fenceOf(at, parts)], unconfirmed);
  assert.deepEqual(result, { raised: [fenceOf(at, parts)], behind: [] });
}

/** What the fence's keeper says to a change of the ConfigMap. */
const edit = (body: object, by = api): Promise<unknown> =>
  by.call('PATCH', FENCE_PATH, { body, contentType: MERGE_PATCH });

/** What was sent since, dry runs too, as soon as the audit log has that many. */
async function writesOnceSeen(mark: number, count: number) {
  const seen = await until('it is in the audit log', 5_000, async () => {
    const entries = (await auditSince(cluster.auditLogPath, mark, USER_AGENT)).filter(({ verb }) => verb !== 'get');
    return entries.length >= count && entries;
  });
  return seen.value;
}

/** Whether an object of a cell could be made without an epoch. */
async function takesAnything(cell: FencedCell): Promise<boolean> {
  const body = { metadata: { generateName: 'any-', labels: { [LABELS.store]: cell.storeId } } };
  try {
    await api.call('POST', '/api/v1/namespaces/default/serviceaccounts', { query: { dryRun: 'All' }, body });
    return true;
  } catch (error) {
    if (error instanceof ClusterError && error.kind === 'fenced') return false;
    throw error;
  }
}

async function textOf(cell: FencedCell): Promise<string> {
  const { data } = (await api.call('GET', FENCE_PATH)) as { data: Record<string, string> };
  return data[cell.storeId] ?? '';
}

test('a store that has never written has an empty fence; after a raise it names what was raised', async () => {
  const cell = newFence();
  assert.deepEqual(await cell.fence.read(), new Map());
  await raised(cell, SEVEN);
  await raised(cell, EIGHT, { n: 4 });
  assert.deepEqual(
    await cell.fence.read(),
    new Map([
      [SEVEN, epoch()],
      [EIGHT, epoch({ n: 4 })],
    ]),
  );
});

test('all 256 shards are raised by one write, and one proof is for all', async () => {
  const cell = newFence();
  const fences = Array.from({ length: SHARD_COUNT }, (_, index) => fenceOf(shard(index), { n: 2 }));
  const mark = auditMark(cluster.auditLogPath);
  assert.deepEqual(await cell.fence.raise(fences, unconfirmed), { raised: fences, behind: [] });
  const writes = await writesOnceSeen(mark, 3);
  assert.equal(writes.filter((write) => write.verb === 'patch').length, 1);
  assert.ok(
    writes.every((write) => write.verb === 'patch' || write.uri.includes('dryRun=All')),
    'nothing else is really written',
  );
  assert.equal((await cell.fence.read()).size, SHARD_COUNT);
});

test('what stands already is proved again all the same: an earlier raise may have died before its proof', async () => {
  const cell = newFence();
  await raised(cell, SEVEN);
  const mark = auditMark(cluster.auditLogPath);
  await raised(cell, SEVEN);
  const writes = await writesOnceSeen(mark, 2);
  assert.deepEqual(
    writes.map(({ verb, code }) => [verb, code]),
    [
      ['create', 403],
      ['create', 201],
    ],
  );
});

const FOUND = epoch({ timeline: 2, n: 5 });
const ORDERS: readonly (readonly [what: string, ours: Partial<Epoch>, unconfirmed: boolean, confirmed: boolean])[] = [
  ['the same', { timeline: 2, n: 5 }, true, true],
  ['a greater number', { timeline: 2, n: 6 }, true, true],
  ['a promoted database', { timeline: 3, n: 5 }, true, true],
  ['a smaller number', { timeline: 2, n: 4 }, false, false],
  ['an old primary with a smaller number', { timeline: 1, n: 4 }, false, false],
  ['an old primary with the same number', { timeline: 1, n: 5 }, false, false],
  ['an old primary with a greater number', { timeline: 1, n: 6 }, false, true],
  ['another database with the same number', { system: OTHER_SYSTEM, n: 5 }, false, false],
  ['another database with a greater number', { system: OTHER_SYSTEM, n: 6 }, false, true],
];

for (const [what, ours, byItself, onceConfirmed] of ORDERS) {
  test(`${what}: ${byItself ? 'follows' : onceConfirmed ? 'follows once a person has said so' : 'is behind'}`, async () => {
    const cell = newFence();
    await cell.fence.raise([fenceOf(SEVEN, FOUND)], unconfirmed);
    const fence = fenceOf(SEVEN, ours);
    const taken = { raised: [fence], behind: [] };
    const behind = { raised: [], behind: [{ fence, found: FOUND }] };
    assert.deepEqual(await cell.fence.raise([fence], unconfirmed), byItself ? taken : behind);
    assert.deepEqual(await cell.fence.raise([fence], confirmed), onceConfirmed ? taken : behind);
    assert.deepEqual((await cell.fence.read()).get(SEVEN), onceConfirmed ? fence.epoch : FOUND);
  });
}

test('one shard that is behind does not keep the others from being raised', async () => {
  const cell = newFence();
  await raised(cell, SEVEN, { n: 9 });
  const [behind, due] = [fenceOf(SEVEN, { n: 3 }), fenceOf(EIGHT, { n: 3 })];
  assert.deepEqual(await cell.fence.raise([behind, due], unconfirmed), {
    raised: [due],
    behind: [{ fence: behind, found: epoch({ n: 9 }) }],
  });
});

test('replicas and stores that raise at once all get through, and of two for one shard the later one', async () => {
  const [mine, theirs] = [newFence(), newFence()];
  const same = new KubernetesFence(api, mine.storeId);
  const halves = [0, 1].map((half) =>
    Array.from({ length: 128 }, (_, index) => fenceOf(shard(half * 128 + index), { n: 3 })),
  );
  const [low = [], high = []] = halves;
  const [a, b, c, older, newer] = await Promise.all([
    mine.fence.raise(low, unconfirmed),
    same.raise(high, unconfirmed),
    theirs.fence.raise(low, unconfirmed),
    theirs.fence.raise([fenceOf(shard(200), { n: 5 })], unconfirmed),
    theirs.fence.raise([fenceOf(shard(200), { n: 6 })], unconfirmed),
  ]);
  assert.deepEqual([a.raised.length, b.raised.length, c.raised.length], [128, 128, 128]);
  assert.equal((await mine.fence.read()).size, SHARD_COUNT);
  assert.equal(newer.raised.length, 1);
  assert.equal(older.raised.length + older.behind.length, 1, 'it was first, or it came too late');
  assert.equal((await theirs.fence.read()).get(shard(200))?.n, 6);
});

const KEPT: readonly (readonly [what: string, change: (text: string) => string | null])[] = [
  ['a lower number', (text) => text.replace(`7:${SYSTEM}/2/5`, `7:${SYSTEM}/2/4`)],
  ['a lower timeline', (text) => text.replace(`7:${SYSTEM}/2/5`, `7:${SYSTEM}/1/5`)],
  ['another database under the same number', (text) => text.replace(SYSTEM, OTHER_SYSTEM)],
  ['an epoch taken out', (text) => text.replace(/^7:.*$/m, '-')],
  ['a store taken out', () => null],
  ['something that is no epoch', (text) => text.replace(/^7:.*$/m, '7:yes')],
  ['a line too few', (text) => text.replace(/\n-$/, '')],
  ['an epoch in the place of another shard', (text) => text.replace(/^-/, `8:${SYSTEM}/2/9`)],
];

for (const [what, change] of KEPT) {
  test(`the fence refuses ${what}, by whomever`, async () => {
    const cell = newFence();
    await raised(cell, SEVEN, { timeline: 2, n: 5 });
    const text = await textOf(cell);
    assert.notEqual(change(text), text);
    const said = await new Refusals().expect('forbidden', () => edit({ data: { [cell.storeId]: change(text) } }));
    assert.match(said, /bulkhead-fence-keeper.*bulkhead:break-glass/);
    await edit({ data: { [cell.storeId]: change(text) } }, glass);
    assert.equal((await textOf(cell)) || null, change(text), 'break-glass may do what it likes');
    await edit({ data: { [cell.storeId]: null } }, glass);
  });
}

test('a fence that somebody broke is not compared with: the error says which key to take out', async () => {
  const cell = newFence();
  await edit({ data: { [cell.storeId]: '7:yes' } }, glass);
  const fails = { name: 'ClusterError', kind: 'unfenced', message: /"7:yes".*remove the store's key/ };
  await assert.rejects(cell.fence.read(), fails);
  await assert.rejects(cell.fence.raise([fenceOf(SEVEN)], unconfirmed), fails);
  await edit({ data: { [cell.storeId]: null } }, glass);
});

test('the manifest applied again, by either kind of apply, keeps the epochs', async () => {
  const cell = newFence();
  await raised(cell, SEVEN, { n: 3 });
  const binary = await localkube();
  const apply = (...flags: string[]) =>
    run(binary, ['kubectl', '--kubeconfig', cluster.kubeconfigPath, 'apply', ...flags, '-k', 'manifests/admission']);
  await apply('--server-side', '--force-conflicts');
  await apply();
  await apply();
  assert.deepEqual((await cell.fence.read()).get(SEVEN), epoch({ n: 3 }));
  await raised(cell, SEVEN, { n: 4 });
});

test('the fence is not deleted by mistake', async () => {
  await new Refusals().expect('forbidden', () => api.call('DELETE', FENCE_PATH));
  await new Refusals().expect('forbidden', () => api.call('DELETE', '/api/v1/namespaces/bulkhead-system/configmaps'));
});

test('a user who is exempt from the policy proves nothing, and is told so', async () => {
  const cell = newFence();
  await assert.rejects(new KubernetesFence(glass, cell.storeId).raise([fenceOf(SEVEN)], unconfirmed), {
    kind: 'unfenced',
    message: /exempt/,
  });
});

test('without the ConfigMap, or without its namespace, nothing can be raised: unfenced, at once', async () => {
  const cell = newFence();
  const said = { kind: 'unfenced', message: /kubectl apply --server-side -f install.yaml/ };
  await glass.call('DELETE', FENCE_PATH);
  await assert.rejects(cell.fence.read(), said);
  await assert.rejects(cell.fence.raise([fenceOf(SEVEN)], unconfirmed), said);
  await installAdmission(cluster);
  await raised(cell, SEVEN);
});

test('the end of the whole namespace is let through, and the fence can be installed anew', async () => {
  const namespace = '/api/v1/namespaces/bulkhead-system';
  const { metadata } = (await api.call('GET', namespace)) as { metadata: { uid: string } };
  await api.call('DELETE', namespace);
  await until('it is gone', 30_000, async () => {
    const found = await api.call('GET', namespace).catch((error: unknown) => {
      if (error instanceof ClusterError && error.kind === 'gone') return null;
      throw error;
    });
    return found === null;
  });
  await installAdmission(cluster);
  const now = (await api.call('GET', namespace)) as { metadata: { uid: string } };
  assert.notEqual(now.metadata.uid, metadata.uid);
  await raised(newFence(), SEVEN);
});

test('without the policy no new owner is let in; installed again it holds at once, since ConfigMaps were kept in sight', async () => {
  const cell = newFence();
  await raised(cell, SEVEN);
  await api.call('DELETE', BINDING);
  await until('the policy is forgotten', 10_000, () => takesAnything(cell));
  await assert.rejects(cell.fence.raise([fenceOf(SEVEN)], unconfirmed), {
    kind: 'unfenced',
    message: /kubectl apply --server-side -f install.yaml/,
  });
  await installAdmission(cluster);
  await raised(cell, SEVEN, { n: 2 });
});

test('whoever uninstalls it breaks the glass', async () => {
  const binary = await localkube();
  const flags = ['--kubeconfig', cluster.kubeconfigPath, 'delete', '-k', 'manifests/admission', ...BREAK_GLASS_FLAGS];
  await run(binary, ['kubectl', ...flags]);
  await assert.rejects(newFence().fence.read(), { kind: 'unfenced' });
});
