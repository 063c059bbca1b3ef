import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { encodeFence, FENCE_PATH } from '../../src/cluster/epoch-fence-data.ts';
import { type Epoch, parseEpoch } from '../../src/job/epoch.ts';
import { clusterId, shard } from '../../src/job/ids.ts';
import { cellNamespace } from '../../src/plan/names.ts';
import { LABELS, MANAGER } from '../../src/plan/objects.ts';
import { applyJob } from '../support/operator.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';
import { asReplica } from './cli-process.ts';

/**
 * What the command line makes of a cluster's answers: the real process against a real Postgres and an API server that
 * says what each test wants. How it does on real clusters is tested with those.
 */

const MAIN = resolve(import.meta.dirname, '../../src/cli/main.ts');
const CLUSTER = 'cccccccc-cccc-4ccc-8ccc-cccccccccccc';
const OTHER_CLUSTER = 'dddddddd-dddd-4ddd-8ddd-dddddddddddd';
const STOP_LIMIT_MS = 10_000;

type Answer = (url: URL, response: ServerResponse, body: string) => void;

/** By the beginning of the path; the longest that fits answers. */
let answers: Record<string, Answer> = {};
let asked: string[] = [];
let server: Server;
let database: TestDatabase;
let folder: string;
let kubeconfig: string;

const json =
  (value: unknown, code = 200): Answer =>
  (_url, response) => {
    response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  };

const list = (...items: unknown[]): Answer => json({ metadata: { resourceVersion: '1' }, items });
const text =
  (body: string): Answer =>
  (_url, response) =>
    void response.end(body);
const refuse = (code: number, message: string): Answer => json({ kind: 'Status', code, message }, code);

/** A collection is empty, also in a namespace that is not there; a single object is not there. */
const otherwise = ({ pathname }: URL): Answer =>
  /\/(pods|serviceaccounts|networkpolicies|deployments|poddisruptionbudgets|services)$/.test(pathname)
    ? list()
    : refuse(404, 'the server could not find the requested resource');

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://stub');
  asked.push(`${request.method} ${url.pathname}${url.search}`);
  let body = '';
  for await (const chunk of request) body += chunk;
  const path = Object.keys(answers)
    .filter((prefix) => url.pathname.startsWith(prefix))
    .sort((a, b) => b.length - a.length)[0];
  (answers[path ?? ''] ?? otherwise(url))(url, response, body);
}

before(async () => {
  database = await testDatabase();
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-cli-'));
  server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  kubeconfig = join(folder, 'kubeconfig');
  const cluster = `{server: "http://127.0.0.1:${address.port}", insecure-skip-tls-verify: true}`;
  await writeFile(
    kubeconfig,
    `apiVersion: v1
kind: Config
current-context: stub
clusters: [{name: c, cluster: ${cluster}}]
contexts: [{name: stub, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: t}}]
`,
  );
});

after(async () => {
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true });
  await database[Symbol.asyncDispose]();
});

beforeEach(() => {
  asked = [];
  answers = { '/api/v1/namespaces/kube-system': json({ metadata: { uid: CLUSTER } }) };
});

const start = (args: readonly string[]) =>
  execa(process.execPath, [MAIN, ...args, '--kubeconfig', kubeconfig], {
    env: { DATABASE_URL: database.url, NO_COLOR: '1' },
    reject: false,
    stripFinalNewline: false,
    timeout: 30_000,
  });

async function bulkhead(...args: string[]) {
  const { exitCode, stdout, stderr } = await start(args);
  return { exitCode, stdout, stderr };
}

/** Says that the store's jobs live in that cluster. */
async function recordCluster(id: string): Promise<void> {
  const known = { id: clusterId(id), contextName: 'former', server: 'https://192.0.2.1:6443', caCertificate: null };
  await asReplica(database.store, async (_fenceOf, fences) => {
    // Shard 0 speaks for the whole store.
    const fence = fences.find(({ shard }) => shard === 0);
    assert.ok(fence);
    await database.store.recordCluster(fence, known);
  });
}

describe('logs', () => {
  const namespace = () => cellNamespace(database.store.storeId, { tenant: 'ads', name: 'clicks' });
  const podPath = (name = '') => `/api/v1/namespaces/${namespace()}/pods${name && `/${name}/log`}`;
  const pod = (name: string, createdAt: string, ready: boolean) => ({
    metadata: { name, namespace: namespace(), uid: name, creationTimestamp: createdAt },
    status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  });

  before(() => applyJob(database.store, 'clicks', { container: { image: 'app:1' } }));

  beforeEach(() => {
    answers[podPath()] = list(pod('old', '2026-01-01T00:00:00Z', true), pod('new', '2026-01-02T00:00:00Z', false));
    answers[podPath('old')] = text('a\nb\n');
    answers[podPath('new')] = text('c');
  });

  it('shows one worker of several, one that works, and says that there are more', async () => {
    const { exitCode, stdout, stderr } = await bulkhead('logs', 'ads/clicks');
    assert.deepEqual([exitCode, stdout], [0, 'a\nb\n']);
    assert.equal(stderr, 'Found 2 workers, showing old; --all shows all of them.\n');
  });

  it('--all shows all of them, each line with the name of its pod', async () => {
    const { stdout, stderr } = await bulkhead('logs', 'ads/clicks', '--all');
    assert.deepEqual([stdout, stderr], ['[new] c\n[old] a\n[old] b\n', '']);
  });

  it("passes on how much is wanted, in the API server's words", async () => {
    await bulkhead('logs', 'ads/clicks', '--tail', '5', '--since', '2m', '-p');
    const query = new URL(asked.at(-1)?.split(' ')[1] ?? '', 'http://stub').searchParams;
    assert.deepEqual(Object.fromEntries(query), {
      container: 'worker',
      tailLines: '5',
      sinceSeconds: '120',
      previous: 'true',
    });
  });

  it('-f goes on as more is written, from all workers at once', async () => {
    const slow =
      (...lines: string[]): Answer =>
      async (_url, response) => {
        for (const line of lines) {
          response.write(`${line}\n`);
          await sleep(100);
        }
        response.end();
      };
    answers[podPath('old')] = slow('1', '2', '3');
    answers[podPath('new')] = slow('x', 'y', 'z');
    const { stdout } = await bulkhead('logs', 'ads/clicks', '-f', '--all');
    const lines = stdout.trimEnd().split('\n');
    assert.equal(lines.length, 6);
    assert.ok(lines.indexOf('[new] x') < lines.indexOf('[old] 3'), stdout);
    assert.ok(lines.indexOf('[old] 1') < lines.indexOf('[new] z'), stdout);
  });

  it('of a worker that has none yet says why, in the words of the cluster', async () => {
    answers[podPath()] = list(pod('new', '2026-01-02T00:00:00Z', false));
    answers[podPath('new')] = refuse(400, 'container "worker" is waiting to start: ImagePullBackOff');
    const { exitCode, stderr } = await bulkhead('logs', 'ads/clicks');
    assert.equal(exitCode, 1);
    assert.equal(stderr, 'error: new has no such log: container "worker" is waiting to start: ImagePullBackOff\n');
  });

  it('of a job without workers says where it looked and what to ask next', async () => {
    answers[podPath()] = list();
    const { exitCode, stderr } = await bulkhead('logs', 'ads/clicks');
    assert.equal(exitCode, 1);
    assert.match(
      stderr,
      /^error: ads\/clicks has no worker in namespace bh-ads-clicks-\w+ of context stub; .*bulkhead describe ads\/clicks\n$/,
    );
  });
});

describe('orphans', () => {
  const namespaceOf = (name: string, id: string) => ({
    metadata: {
      name,
      uid: name,
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: { [LABELS.jobId]: id },
    },
  });

  it('are the cells of this store without a goal; they are shown and never deleted', async () => {
    const known = await applyJob(database.store, 'kept', { container: { image: 'app:1' } });
    const lost = '99999999-9999-4999-8999-999999999999';
    answers['/api/v1/namespaces'] = list(namespaceOf('bh-kept', known), namespaceOf('bh-lost', lost));
    const { exitCode, stdout } = await bulkhead('orphans');
    assert.equal(exitCode, 0);
    assert.match(
      stdout,
      /^NAMESPACE .*\nbh-lost +<none> +<none> +9{8}-\S+ +\S+ +kubectl --kubeconfig \S+ --context stub delete namespace bh-lost\n$/,
    );
    assert.equal((await bulkhead('orphans', '-o', 'name')).stdout, 'bh-lost\n');
    assert.deepEqual(
      asked.filter((call) => !call.startsWith('GET')),
      [],
      'nothing is written',
    );
    const selector = `${LABELS.managedBy}=${MANAGER},${LABELS.store}=${database.store.storeId}`;
    const query = asked.map((call) =>
      new URL(call.split(' ')[1] ?? '', 'http://stub').searchParams.get('labelSelector'),
    );
    assert.ok(query.includes(selector), 'only namespaces of this very store are asked for');
  });

  it("are not looked for in a cluster that is not the jobs'", async () => {
    await recordCluster(OTHER_CLUSTER);
    const { exitCode, stderr } = await bulkhead('orphans');
    await recordCluster(CLUSTER);
    assert.equal(exitCode, 1);
    assert.match(
      stderr,
      new RegExp(
        `^error: context stub leads to cluster ${CLUSTER}, but the jobs live in cluster ${OTHER_CLUSTER} \\(context former`,
      ),
    );
  });
});

describe('apply --dry-run=server', () => {
  it('shows the plan from a look at the cell just now', async () => {
    const path = join(folder, 'dry.yaml');
    await writeFile(
      path,
      'apiVersion: bulkhead.dev/v1alpha1\nkind: StreamJob\nmetadata: {name: dry, namespace: ads}\nspec: {container: {image: "app:1"}}\n',
    );
    const { exitCode, stdout, stderr } = await bulkhead('apply', '-f', path, '--dry-run=server');
    assert.equal(exitCode, 0, stderr);
    assert.match(
      stdout,
      /^streamjob\/dry created \(server dry run\) \(tenant ads, revision 1\)\n {2}From a look at the cluster just now \(context stub\):\n {4}create Namespace bh-ads-dry-\w+: revision 1 needs it/,
    );
    assert.deepEqual(
      asked.filter((call) => !call.startsWith('GET')),
      [],
      'nothing is written',
    );
  });
});

describe('store confirm', () => {
  const SYSTEM = '7000000000000000009';
  const fenceAt = (epoch: string): Answer =>
    json({
      metadata: { resourceVersion: '1' },
      data: { [database.store.storeId]: encodeFence(new Map([[shard(7), parseEpoch(epoch) as Epoch]])) },
    });

  it('says that there is nothing to confirm where the fence is not ahead', async () => {
    answers[FENCE_PATH] = json({ metadata: { resourceVersion: '1' } });
    const { exitCode, stdout, stderr } = await bulkhead('store', 'confirm', '--reason', 'x');
    assert.deepEqual([exitCode, stdout], [0, '']);
    assert.equal(stderr, 'Nothing to confirm: the fence of context stub says nothing about this store.\n');
    assert.match((await bulkhead('store', 'confirm', '--reason', 'x')).stderr, /^Nothing to confirm/);
  });

  it('shows both sides, asks, and lets the store go on above the fence', async () => {
    answers[FENCE_PATH] = fenceAt(`${SYSTEM}/3/40`);
    const asks = await bulkhead('store', 'confirm', '--reason', 'restored from backup');
    assert.equal(asks.exitCode, 1);
    assert.match(
      asks.stderr,
      /^This store: +Postgres at .*\nThe fence: +of context stub .* system 7000000000000000009, timeline 3: 1 of 256 shards, epochs up to 40\nBehind: +1 shard; shard 7 is at \d+\/1\/\d+ here and at 7000000000000000009\/3\/40 there\nerror: .* Go on\? There is no terminal to ask on: say --yes/,
    );
    const found = { system: SYSTEM, timeline: 3, n: 40 };
    assert.equal(await database.store.followsFence(shard(7), found), false);
    const done = await bulkhead('store', 'confirm', '--reason', 'restored from backup', '--yes');
    assert.equal(done.stdout, 'store confirmed: 1 shard goes on from the fence of context stub\n', done.stderr);
    assert.equal(await database.store.followsFence(shard(7), found), true);
    await asReplica(database.store, async (_fenceOf, fences) => {
      assert.equal(fences.find((fence) => fence.shard === 7)?.epoch.n, 41);
    });
    const again = await bulkhead('store', 'confirm', '--reason', 'x');
    assert.equal(again.stderr, 'Nothing to confirm: this store is not behind the fence of context stub.\n');
  });

  it('also of what an operator found ahead, when claims have outgrown the fence since', async () => {
    answers[FENCE_PATH] = json({ metadata: { resourceVersion: '1' } });
    await asReplica(database.store, async (_fenceOf, fences) => {
      const fence = fences.find((one) => one.shard === 9) ?? assert.fail('shard 9 is not held');
      await database.store.recordBehind([{ fence, found: { ...fence.epoch, n: 1 } }]);
    });
    const done = await bulkhead('store', 'confirm', '--reason', 'restored from backup', '--yes');
    assert.equal(done.stdout, 'store confirmed: 1 shard goes on from the fence of context stub\n', done.stderr);
    assert.deepEqual(await database.store.behindShards([shard(9)]), new Map());
    assert.match((await bulkhead('store', 'confirm', '--reason', 'x')).stderr, /^Nothing to confirm/);
  });

  it('of a cluster without a fence says what to install', async () => {
    const { exitCode, stderr } = await bulkhead('store', 'confirm', '--reason', 'x');
    assert.equal(exitCode, 1);
    assert.match(
      stderr,
      /^error: .*the cluster has no fence \(ConfigMap bulkhead-system\/bulkhead-fence\); install it with: kubectl apply/,
    );
  });
});

describe('run', () => {
  const REVIEWS = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';

  it('names the rights that are missing before anything is touched', async () => {
    answers[REVIEWS] = (url, response, body) => {
      const { verb, resource } = JSON.parse(body).spec.resourceAttributes;
      const allowed = verb !== '*' && !(resource === 'deployments' && verb === 'delete') && resource !== 'pods';
      json({ status: { allowed } })(url, response, body);
    };
    const { exitCode, stderr, stdout } = await bulkhead('run');
    assert.deepEqual([exitCode, stdout], [1, '']);
    assert.match(
      stderr,
      /^error: the user of context stub lacks rights .*: delete deployments\.apps; list\/watch pods; have an administrator/,
    );
  });

  it('says that credentials are not accepted, and that an API server fails', async () => {
    answers[REVIEWS] = refuse(401, 'Unauthorized');
    assert.match((await bulkhead('run')).stderr, /does not accept the credentials of the kubeconfig \(Unauthorized\)/);
    answers[REVIEWS] = refuse(503, 'starting');
    assert.match((await bulkhead('run')).stderr, /fails \(503 starting\); try again/);
  });

  it('says that the health port is taken, and how to name another', async () => {
    answers[REVIEWS] = json({ status: { allowed: true } });
    const holder = createTcpServer();
    await new Promise<void>((done) => holder.listen(0, '127.0.0.1', done));
    const address = holder.address();
    assert.ok(address !== null && typeof address === 'object');
    const { exitCode, stderr } = await bulkhead('run', '--health-address', `127.0.0.1:${address.port}`);
    holder.close();
    assert.equal(exitCode, 1);
    assert.match(stderr, /\nerror: the health address 127\.0\.0\.1:\d+ is taken by another program; name another/);
  });

  it('tells the store which cluster was accepted, for whichever replica speaks for it', async () => {
    answers[REVIEWS] = json({ status: { allowed: true } });
    const running = start(['run', '--accept-cluster', OTHER_CLUSTER]);
    await untilSaid(running, 'the operator starts');
    assert.equal(await database.store.acceptedCluster(), OTHER_CLUSTER);
    running.kill('SIGTERM');
    assert.equal((await running).exitCode, 0);
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`ends with 0 after ${signal}, also while its cluster does not answer`, async () => {
      answers[REVIEWS] = json({ status: { allowed: true } });
      const running = start(['run']);
      await untilSaid(running, 'the shards were divided');
      answers = {};
      const askedAt = performance.now();
      running.kill(signal);
      const { exitCode, stdout, stderr } = await running;
      assert.deepEqual([exitCode, stdout], [0, ''], stderr);
      assert.ok(performance.now() - askedAt < STOP_LIMIT_MS);
      for (const line of stderr.trimEnd().split('\n')) JSON.parse(line);
      assert.match(stderr, /"msg":"stopped"\}\n$/);
    });
  }
});

async function untilSaid(running: ReturnType<typeof start>, words: string): Promise<void> {
  let said = '';
  await new Promise<void>((done, fail) => {
    running.stderr.on('data', (chunk) => {
      said += String(chunk);
      if (said.includes(words)) done();
    });
    running.once('exit', () => fail(new Error(`it ended: ${said}`)));
  });
}
