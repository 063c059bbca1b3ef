import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type EmptyDatabase, emptyDatabase, sql } from '../support/postgres.ts';
import { assertSentence, CommandLine, job } from './cli-process.ts';

/** A whole store out and in again, old months out of the way, and the database's two roles. No cluster. */

let line: CommandLine;
const bulkhead: CommandLine['run'] = (args, surroundings) => line.run(args, surroundings);

before(async () => {
  line = await CommandLine.open();
});

after(() => line.close());

const rolesOf = ({ url, adminUrl }: EmptyDatabase) => ({ DATABASE_URL: url, DATABASE_ADMIN_URL: adminUrl });

describe('export --history and import', () => {
  let archive: string;

  before(async () => {
    const platform = 'apiVersion: bulkhead.dev/v1alpha1\nkind: Platform\nspec: {defaults: {workers: {replicas: 2}}}\n';
    await bulkhead(['platform', 'apply', '-f', '-'], { input: platform });
    await bulkhead(['apply', '-f', '-'], { input: [job('a', 'arc'), job('b', 'arc')].join('---\n') });
    await bulkhead(['override', 'arc/a', '--set', 'suspended=true', '--until', '2h', '--reason', 'quiet']);
    await bulkhead(['delete', 'arc/b', '--reason', 'enough']);
    const exported = await bulkhead(['export', '--history']);
    assert.equal(exported.exitCode, 0, exported.stderr);
    assert.match(exported.stderr, /^2 jobs with 4 revisions exported in \d+\.\d s\.\n$/);
    archive = exported.stdout;
    await writeFile(join(line.folder, 'archive.yaml'), archive);
  });

  it('fills an empty store with everything as it was, and says what comes next', async () => {
    const there = await emptyDatabase();
    const env = rolesOf(there);
    const imported = await bulkhead(['import', '-f', 'archive.yaml'], { env });
    assert.equal(imported.exitCode, 0, imported.stderr);
    assert.equal(imported.stdout, `store ${line.database.store.storeId} restored: 2 jobs, 4 revisions\n`);
    assert.match(
      imported.stderr,
      /\nNext: start an operator with: bulkhead run\. .* bulkhead store confirm --reason … \(no cluster was looked at: cannot read the kubeconfig/,
    );
    assert.equal((await bulkhead(['export', '--history'], { env })).stdout, archive, 'bit for bit');
    assert.match(
      (await bulkhead(['history', 'arc/b'], { env })).stdout,
      /\n2 +job +ann +cli +\d+s +enough +removed\n$/,
    );
    const again = await bulkhead(['import', '-f', '-'], { env, input: archive });
    assertSentence(again, /is not empty: restore into a new database/);
  });

  it('stores nothing of an archive that was cut off or is none', async () => {
    const env = rolesOf(await emptyDatabase());
    const cut = await bulkhead(['import', '-f', '-'], { env, input: archive.slice(0, archive.lastIndexOf('---')) });
    assert.deepEqual([cut.exitCode, cut.stdout], [1, '']);
    assert.match(
      cut.stderr,
      /\nerror: nothing was restored: this is not a whole archive as export --history writes it\n$/,
    );
    const none = await bulkhead(['import', '-f', '-'], { env, input: job('a', 'arc') });
    assert.match(
      none.stderr,
      /^stdin:2:7: kind: found "StreamJob", expected an archive; .*\n1 problem .*\nerror: nothing was restored/,
    );
    assertSentence(
      await bulkhead(['import', '-f', 'nowhere.yaml'], { env }),
      /cannot read nowhere\.yaml: there is no such file/,
    );
    const binary = join(line.folder, 'binary');
    await writeFile(binary, Buffer.from([0x61, 0xff, 0xfe]));
    assertSentence(await bulkhead(['import', '-f', binary], { env }), /cannot read .*binary: it is not UTF-8/);
    assert.equal((await bulkhead(['get', '-A'], { env })).stdout, '');
  });

  it('the role of run time may not restore, and is told who may', async () => {
    const there = await emptyDatabase();
    await bulkhead(['migrate'], { env: rolesOf(there) });
    const denied = await bulkhead(['import', '-f', '-'], { env: { DATABASE_URL: there.url }, input: archive });
    assertSentence(
      denied,
      /its role may not do this \(permission denied .*\): set DATABASE_ADMIN_URL to the URL of the owner/,
    );
    assert.ok(!denied.stderr.includes(new URL(there.url).password));
  });

  it('is of the whole store', async () => {
    assertSentence(
      await bulkhead(['export', '--history', '-n', 'arc']),
      /--history is of the whole store; leave -n out/,
    );
  });
});

describe('archive', () => {
  it('moves whole months away as the owner; a dry run says which', async () => {
    const { adminUrl } = line.database;
    const env = { DATABASE_ADMIN_URL: adminUrl };
    await sql(
      adminUrl,
      `create table bulkhead.event_2020_01 partition of bulkhead.event for values from ('2020-01-01') to ('2020-02-01')`,
    );
    assert.match(
      (await bulkhead(['archive', '--before', '2020-1'], { env })).stderr,
      /Expected a month such as 2026-03/,
    );
    const early = await bulkhead(['archive', '--before', '2020-01', '--dry-run'], { env });
    assert.match(early.stderr, /^Nothing to archive/);
    const dry = await bulkhead(['archive', '--before', '2020-02', '--dry-run'], { env });
    assert.equal(dry.stdout, 'event_2020_01 archived (dry run)\n', dry.stderr);
    const denied = await bulkhead(['archive', '--before', '2020-02']);
    assertSentence(denied, /its role may not do this .*set DATABASE_ADMIN_URL/);
    const real = await bulkhead(['archive', '--before', '2020-02'], { env });
    assert.equal(real.stdout, 'bulkhead_archive.event_2020_01 archived\n', real.stderr);
    assertSentence(await bulkhead(['archive', '--before', '2999-01'], { env }), /Only history can be archived/);
  });
});

describe('migrate', () => {
  it('as the owner gives the role of run time what it needs, and no more', async () => {
    const there = await emptyDatabase();
    const before = await bulkhead(['get'], { env: { DATABASE_URL: there.url } });
    assertSentence(before, /its role may not do this \(permission denied .*DATABASE_ADMIN_URL to the URL of the owner/);
    const migrated = await bulkhead(['migrate'], { env: rolesOf(there) });
    assert.deepEqual([migrated.exitCode, migrated.stdout], [0, '']);
    assert.match(
      migrated.stderr,
      /^Postgres at .* was migrated: 0001_goals\.sql, 0002_layers_shards\.sql, 0003_take_over\.sql, 0004_goals_of\.sql, 0005_record_turn\.sql\.\n$/,
    );
    assert.match((await bulkhead(['migrate'], { env: rolesOf(there) })).stderr, /is up to date\.\n$/);
    const applied = await bulkhead(['apply', '-f', '-'], {
      env: { DATABASE_URL: there.url },
      input: job('a', 'roles'),
    });
    assert.equal(applied.stdout, 'streamjob/a created (tenant roles, revision 1)\n', applied.stderr);
  });

  it('with one role says so, and with only the owner named asks for the other', async () => {
    const there = await emptyDatabase();
    const one = await bulkhead(['migrate'], { env: { DATABASE_URL: there.adminUrl } });
    assert.match(one.stderr, /^DATABASE_ADMIN_URL is not set: migrating as the role of DATABASE_URL/);
    const half = await bulkhead(['migrate'], { env: { DATABASE_URL: '', DATABASE_ADMIN_URL: there.adminUrl } });
    assertSentence(half, /DATABASE_ADMIN_URL is set and DATABASE_URL is not: set both, or neither/);
  });
});
