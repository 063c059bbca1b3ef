import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { cellRequests, loadJobs, OBJECTS_A_JOB, storedCells } from '../../bench/lab/index.ts';
import { up } from '../cluster/index.ts';
import { ApiProxy } from '../support/api-proxy.ts';
import { testDatabase } from '../support/postgres.ts';
import { OperatorProcess } from '../support/processes.ts';
import { until } from '../support/until.ts';

/** Every benchmark of speed, as small as it gets: that it runs to its last line is what is shown, not how fast. */

const MAIN = join(import.meta.dirname, '../../bench/main.ts');
const LIMIT_MS = 180_000;
/** Against the replay at most, which is a small Go program; the other yardsticks take long to build, and a full run does. */
const BENCHES: readonly (readonly string[])[] = [
  ['rebuild'],
  ['memory'],
  ['change'],
  ['idle'],
  ['heal'],
  ['poison'],
  ['takeover'],
  ['scale-out'],
  ['soak'],
  ['profile'],
];

for (const [name = '', ...options] of BENCHES) {
  test(`bench ${name} --quick says in its last line what it measured`, { timeout: LIMIT_MS }, async () => {
    const { stdout, stderr, exitCode } = await execa(process.execPath, [MAIN, name, '--quick', ...options], {
      reject: false,
      timeout: LIMIT_MS,
    });
    assert.equal(exitCode, 0, `${stdout.slice(-2_000)}\n${stderr.slice(-2_000)}`);
    const last = JSON.parse(stdout.split('\n').at(-1) ?? '') as Record<string, unknown>;
    for (const field of ['bench', 'jobs', 'value', 'unit', 'target', 'met', 'machine', 'versions', 'noise']) {
      assert.ok(field in last, `the last line has no ${field}: ${JSON.stringify(last).slice(0, 500)}`);
    }
    assert.ok(Number.isFinite(last.value), 'a figure was measured');
  });
}

test('the replay sends to the byte what Bulkhead sends, or it would measure something else', async () => {
  const cluster = await up('control-plane', { name: 'bench-bodies', fsync: false, fresh: true });
  try {
    await using proxy = await ApiProxy.to(cluster);
    await using database = await testDatabase();
    const jobs = await loadJobs(database.store, 3, { tier: 'namespace' });
    await using _operator = OperatorProcess.start({
      name: 'recorded',
      databaseUrl: database.url,
      kubeconfig: await proxy.kubeconfig(),
    });
    const created = () =>
      proxy.writes.filter(
        ({ method, status, path }) => method === 'POST' && status === 201 && !path.includes('dryRun'),
      );
    const made = () => created().filter(({ body }) => JSON.stringify(body).includes('bulkhead.dev/job-id'));
    await until('all objects are there', 60_000, () => made().length === jobs.length * OBJECTS_A_JOB.namespace);
    const sent = new Map(made().map(({ path, body }) => [`${path} ${nameOf(body)}`, JSON.stringify(body)]));
    const replayed = cellRequests(await storedCells({ cluster }, database.store.storeId, jobs));
    assert.equal(replayed.length, sent.size);
    for (const { path, body } of replayed) {
      assert.equal(JSON.stringify(body), sent.get(`${path} ${nameOf(body)}`), path);
    }
  } finally {
    await cluster.down();
  }
});

const nameOf = (body: unknown): string => (body as { readonly metadata: { readonly name: string } }).metadata.name;
