import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { KubernetesFence } from '../../src/cluster/epoch-fence.ts';
import { APPLY_PATCH, MERGE_PATCH, type Transport } from '../../src/cluster/transport.ts';
import { shard, storeId } from '../../src/job/ids.ts';
import { fenceMark } from '../../src/ports/shards.ts';
import { type ControlPlaneCluster, up } from '../cluster/index.ts';
import { localkube } from '../cluster/localkube.ts';
import { run } from '../cluster/progress.ts';
import { BREAK_GLASS_FLAGS } from '../support/break-glass.ts';
import { asAdministrator, fenceOf, Refusals, unconfirmed } from '../support/fenced-cell.ts';
import { installStreamJobs, type StreamJobObject, streamJob, streamJobsPath } from '../support/stream-jobs.ts';
import { until } from '../support/until.ts';
import { asUser } from '../support/users.ts';

/** StreamJobs on a real API server: who is said to have edited them, and under which epoch Bulkhead writes them. */

const AUTHOR = 'bulkhead.dev/author';
const WRITTEN_BY = 'bulkhead.dev/written-by';
const PATH = streamJobsPath('default');

let cluster: ControlPlaneCluster;
let api: Transport;
let anna: Transport;
let ben: Transport;
let folder: string;
const refused = new Refusals();

before(async () => {
  cluster = await up('control-plane', { name: 'admission-sj', fsync: false, fresh: true });
  api = await asAdministrator(cluster);
  anna = await asUser(cluster, 'anna', 'system:masters');
  ben = await asUser(cluster, 'ben', 'system:masters');
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-'));
  await installStreamJobs(api);
  await until('edits are stamped', 10_000, async () => {
    const made = (await api.call('POST', PATH, {
      query: { dryRun: 'All' },
      body: streamJob('probe'),
    })) as StreamJobObject;
    return made.metadata.annotations?.[AUTHOR];
  });
});

after(async () => {
  for (const transport of [api, anna, ben]) await transport?.close();
  await cluster?.down();
  await rm(folder, { recursive: true });
});

const kubectl = async (...args: string[]): Promise<string> =>
  run(await localkube(), ['kubectl', '--kubeconfig', cluster.kubeconfigPath, '-n', 'default', ...args]);

const read = async (name: string): Promise<StreamJobObject> =>
  (await api.call('GET', `${PATH}/${name}`)) as StreamJobObject;

async function made(by: Transport, metadata: object = {}): Promise<string> {
  const name = `sj-${randomUUID().slice(0, 8)}`;
  await by.call('POST', PATH, { body: streamJob(name, 1, metadata) });
  return name;
}

const merge = (by: Transport, name: string, body: object, query = {}) =>
  by.call('PATCH', `${PATH}/${name}`, { body, query, contentType: MERGE_PATCH });
const scaleTo = (by: Transport, name: string, replicas: number) => merge(by, name, { spec: { workers: { replicas } } });

/** What an object says of its author, and whether that is about the generation it has. */
async function author(name: string): Promise<string> {
  const { generation, annotations } = (await read(name)).metadata;
  const [, of, who] = /^(\d+) (.*)$/s.exec(annotations?.[AUTHOR] ?? '') ?? [];
  return who === undefined ? 'nobody' : Number(of) === generation ? who : `unverified, formerly ${who}`;
}

test('who makes a StreamJob and who edits its spec is its author, at the generation that results', async () => {
  const name = await made(anna);
  assert.equal((await read(name)).metadata.annotations?.[AUTHOR], '1 anna');
  await scaleTo(ben, name, 2);
  assert.equal((await read(name)).metadata.annotations?.[AUTHOR], '2 ben');
  assert.equal(await author(name), 'ben');
});

test('what is no edit of the spec leaves the author: labels, annotations, status', async () => {
  const name = await made(anna);
  await merge(ben, name, {
    metadata: { labels: { team: 'b' }, annotations: { note: 'mine' }, finalizers: ['b.dev/x'] },
  });
  await ben.call('PATCH', `${PATH}/${name}/status`, { body: { status: { phase: 'Odd' } }, contentType: MERGE_PATCH });
  await scaleTo(ben, name, 1);
  assert.equal(await author(name), 'anna');
  await merge(ben, name, { metadata: { finalizers: null } });
});

test('nobody speaks in another’s name: forged, changed and removed authors are put right', async () => {
  const name = await made(anna, { annotations: { [AUTHOR]: '1 ben' } });
  assert.equal(await author(name), 'anna');
  for (const forged of ['1 root', '2 root', '', null]) {
    await merge(ben, name, { metadata: { annotations: { [AUTHOR]: forged } } });
    assert.equal(await author(name), 'anna', String(forged));
  }
  await merge(ben, name, { metadata: { annotations: null } });
  assert.equal(await author(name), 'anna', 'all annotations at once');
  await merge(ben, name, { metadata: { annotations: { [AUTHOR]: '2 anna' } }, spec: { workers: { replicas: 9 } } });
  assert.equal(await author(name), 'ben', 'with an edit');
});

test('where there was no author none comes in by an update that is no edit', async () => {
  await kubectl('delete', 'mutatingadmissionpolicybinding', 'bulkhead-author');
  const name = await until('nothing is stamped', 10_000, async () => {
    const candidate = await made(anna);
    return (await author(candidate)) === 'nobody' && candidate;
  });
  const folderOfPolicies = join(import.meta.dirname, '../../manifests/admission');
  await kubectl('apply', '--server-side', '--force-conflicts', '-f', join(folderOfPolicies, 'author-policy.yaml'));
  await until('it is stamped again', 10_000, async () => (await author(await made(anna))) === 'anna');
  await merge(ben, name.value, { metadata: { annotations: { [AUTHOR]: '1 anna' } } });
  assert.equal(await author(name.value), 'nobody');
});

test('scaling by the subresource, which carries no annotations, reads as unverified and not as the last author', async () => {
  const name = await made(anna);
  await kubectl('--as=ben', '--as-group=system:masters', 'scale', `streamjobs/${name}`, '--replicas=3');
  assert.equal((await read(name)).spec.workers.replicas, 3);
  assert.equal(await author(name), 'unverified, formerly anna');
  await scaleTo(ben, name, 4);
  assert.equal(await author(name), 'ben');
});

test('a StreamJob that is going keeps its author’s words, and can go', async () => {
  const name = await made(anna, { finalizers: ['bulkhead.dev/test'] });
  await ben.call('DELETE', `${PATH}/${name}`);
  assert.equal((await read(name)).metadata.annotations?.[AUTHOR], '1 anna');
  await merge(ben, name, { metadata: { finalizers: null } });
  await assert.rejects(read(name), { kind: 'gone' });
});

test('every way to edit is stamped: apply, server-side apply, patch, replace, edit', async () => {
  const file = join(folder, 'job.yaml');
  const editor = join(folder, 'editor.sh');
  await writeFile(editor, '#!/bin/sh\nsed -i "s/replicas: .*/replicas: 7/" "$1"\n', { mode: 0o700 });
  const write = (replicas: number) => writeFile(file, JSON.stringify(streamJob('by-hand', replicas)));
  const ways: readonly (readonly string[])[] = [
    ['apply', '-f', file],
    ['apply', '-f', file],
    ['apply', '--server-side', '--force-conflicts', '-f', file],
    ['replace', '-f', file],
    ['patch', 'streamjobs/by-hand', '--type=merge', '-p', '{"spec":{"workers":{"replicas":6}}}'],
    [
      'patch',
      'streamjobs/by-hand',
      '--type=json',
      '-p',
      '[{"op":"replace","path":"/spec/workers/replicas","value":5}]',
    ],
    ['edit', 'streamjobs/by-hand'],
  ];
  for (const [index, way] of ways.entries()) {
    await write(20 + index);
    const who = `user-${index}`;
    const environment = { ...process.env, KUBE_EDITOR: editor };
    const flags = ['--kubeconfig', cluster.kubeconfigPath, '-n', 'default', `--as=${who}`, '--as-group=system:masters'];
    await run(await localkube(), ['kubectl', ...flags, ...way], { env: environment });
    assert.equal(await author('by-hand'), who, way.join(' '));
    assert.equal((await read('by-hand')).metadata.generation, index + 1, way.join(' '));
  }
});

test('server-side apply, again and again by two managers, changes nothing: the author is no field of theirs', async () => {
  const body = streamJob('applied');
  const apply = (by: Transport, fieldManager: string) =>
    by.call('PATCH', `${PATH}/applied`, { body, query: { fieldManager }, contentType: APPLY_PATCH });
  await apply(anna, 'argocd');
  await apply(ben, 'flux');
  const before = await read('applied');
  for (let round = 0; round < 10; round += 1) {
    await apply(ben, 'flux');
    await apply(anna, 'argocd');
  }
  assert.deepEqual((await read('applied')).metadata, before.metadata);
  assert.ok(!JSON.stringify(before.metadata.managedFields).includes(AUTHOR));
  assert.equal(await author('applied'), 'anna');
});

const NAMES = [
  'system:serviceaccount:ads:deployer',
  'o’brien "the" <ops+x@example.com>',
  'Żółć ☃',
  '7 of 9',
  '{{x}}$(y)%s\\n',
];

for (const name of NAMES) {
  test(`a name is kept as it is: ${name}`, async () => {
    const by = await asUser(cluster, name, 'system:masters');
    try {
      assert.equal(await author(await made(by)), name);
    } finally {
      await by.close();
    }
  });
}

/** A store of its own, whose shard 7 the fence names at n. */
async function fenced(n: number) {
  const id = storeId(randomUUID());
  const fence = new KubernetesFence(api, id);
  const at = (epoch: number) => `${id} ${fenceMark(fenceOf(shard(7), { n: epoch }))}`;
  const raise = (epoch: number) => fence.raise([fenceOf(shard(7), { n: epoch })], unconfirmed);
  await raise(n);
  return { at, raise };
}

const OURS = { fieldManager: 'bulkhead' };
const mark = (text: string) => ({ annotations: { [WRITTEN_BY]: text } });
const create = (name: string, text: string, by = api) =>
  by.call('POST', PATH, { body: streamJob(name, 1, mark(text)), query: OURS });
const status = (name: string, writtenBy: string, by = api) =>
  by.call('PATCH', `${PATH}/${name}/status`, {
    body: { status: { writtenBy } },
    query: OURS,
    contentType: MERGE_PATCH,
  });

test('Bulkhead makes, changes and reports on a StreamJob under the epoch that the fence names', async () => {
  const { at, raise } = await fenced(1);
  await create('ours', at(1));
  await status('ours', at(1));
  await raise(2);
  await merge(api, 'ours', { metadata: mark(at(2)), spec: { workers: { replicas: 2 } } }, OURS);
  await status('ours', at(2));
  await api.call('DELETE', `${PATH}/ours`);
});

test('a stale owner makes, changes and reports on nothing', async () => {
  const { at, raise } = await fenced(1);
  await create('stale', at(1));
  await raise(2);
  const before = await read('stale');
  const said = await refused.expect('fenced', () => create('stale-too', at(1)));
  assert.ok(said.includes(at(1)) && said.includes(at(2).split(' ')[1] ?? ''), said);
  await refused.expect('fenced', () => merge(api, 'stale', { metadata: { finalizers: ['x.dev/y'] } }, OURS));
  await refused.expect('fenced', () => merge(api, 'stale', { metadata: mark(at(1)), spec: {} }, OURS));
  await refused.expect('fenced', () => status('stale', at(1)));
  assert.deepEqual(await read('stale'), before);
});

test('only a mark is a mark: none, half of one, another store’s, several', async () => {
  const { at } = await fenced(1);
  const other = await fenced(1);
  const [id = '', epoch = ''] = at(1).split(' ');
  const odd = [
    '',
    id,
    `${id} `,
    epoch,
    `${id} -`,
    `${id} ${epoch} x`,
    `${id} ${epoch}\n-`,
    ` ${at(1)}`,
    at(2),
    `${randomUUID()} ${epoch}`,
  ];
  for (const text of odd) await refused.expect('fenced', () => create('odd', text));
  await create('odd', other.at(1));
  await refused.expect('fenced', () => status('odd', ''));
});

test('others write as they like, under any field manager but Bulkhead’s', async () => {
  const { at } = await fenced(1);
  const name = await made(ben, mark('anything'));
  await scaleTo(ben, name, 2);
  await merge(ben, name, { metadata: mark('else') }, { fieldManager: 'argocd' });
  const tenant = await asUser(cluster, 'tenant');
  try {
    await kubectl('create', 'clusterrole', 'sj', '--verb=*', '--resource=streamjobs.bulkhead.dev');
    await kubectl('create', 'rolebinding', 'tenant', '--clusterrole=sj', '--user=tenant');
    await until('the tenant may write', 5_000, () =>
      scaleTo(tenant, name, 3).then(
        () => true,
        () => false,
      ),
    );
    const said = await refused.expect('fenced', () => create('posing', at(1), tenant));
    assert.match(said, /field manager bulkhead is Bulkhead's own/);
  } finally {
    await tenant.close();
  }
  await kubectl(...BREAK_GLASS_FLAGS, 'annotate', '--field-manager=bulkhead', `streamjobs/${name}`, 'glass=broken');
});
