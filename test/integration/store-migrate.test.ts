import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { jobId, replicaId } from '../../src/job/ids.ts';
import { StoreError, type StoreErrorKind } from '../../src/ports/store.ts';
import { type Migration, migrate, readMigrations } from '../../src/store/migrate.ts';
import { openStore } from '../../src/store/open.ts';
import { emptyDatabase, sql, type TestDatabase, testDatabase } from '../support/postgres.ts';

const open = (url: string) => openStore({ url, applicationName: 'test' });

/** One sentence with the remedy, and no password. */
async function rejectsWith(work: Promise<unknown>, kind: StoreErrorKind, pattern: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof StoreError, String(error));
    assert.match(error.message, pattern);
    assert.equal(error.kind, kind, error.message);
    assert.ok(!error.message.includes('\n'), error.message);
    return true;
  });
}

/** This Bulkhead's files and one more, as the next one would have. */
async function withNext(text: string): Promise<Migration[]> {
  const known = await readMigrations();
  const version = known.length + 1;
  return [...known, { version, name: 'next.sql', sql: text, hash: text, oldestReader: null }];
}

describe('the schema', () => {
  it('of a database that was not migrated is asked for', async () => {
    const { url } = await emptyDatabase();
    await rejectsWith(open(url), 'configuration', /run "bulkhead migrate"/);
  });

  it('is brought up to date once, also when several do it at the same time, and says what was applied', async () => {
    const { url, adminUrl, appRole } = await emptyDatabase();
    const applied = await Promise.all([1, 2, 3].map(() => migrate(adminUrl, { appRole })));
    assert.deepEqual(
      applied.flat().toSorted(),
      (await readMigrations()).map((m) => m.name),
      'each once, by whoever came first',
    );
    assert.deepEqual(await migrate(adminUrl, { appRole }), []);
    const store = await open(url);
    assert.match(store.storeId, /^[0-9a-f-]{36}$/);
    await store.close();
  });

  it('explains itself: every table has a comment', async () => {
    await using db = await testDatabase();
    const silent = await sql(
      db.adminUrl,
      `select relname from pg_class where relnamespace = 'bulkhead'::regnamespace and relkind in ('r', 'p')
       and not relispartition and obj_description(oid) is null`,
    );
    assert.deepEqual(silent, []);
  });

  it('that a newer Bulkhead made is refused where it does not say that it can be read, by opening and by migrating', async () => {
    await using db = await testDatabase();
    const newer = /was set up by a newer Bulkhead \(schema 9999; this one knows up to \d+\): upgrade Bulkhead/;
    for (const oldest of ['null', '9998']) {
      await sql(
        db.adminUrl,
        `insert into bulkhead.migration (version, name, hash, oldest_reader) values (9999, '9999_later.sql', 'x', ${oldest})
         on conflict (version) do update set oldest_reader = excluded.oldest_reader`,
      );
      await rejectsWith(open(db.url), 'configuration', newer);
      await rejectsWith(migrate(db.adminUrl), 'configuration', newer);
    }
  });

  it('that a newer Bulkhead made is worked on where it says that this one can, and left as it is', async () => {
    await using db = await testDatabase();
    const newest = (await readMigrations()).length;
    await sql(
      db.adminUrl,
      `insert into bulkhead.migration (version, name, hash, oldest_reader)
       values (${newest + 1}, 'a.sql', 'x', ${newest}), (${newest + 2}, 'b.sql', 'x', ${newest})`,
    );
    await sql(db.adminUrl, 'grant delete on bulkhead.observation to bulkhead_app');
    assert.deepEqual(await migrate(db.adminUrl, { appRole: 'bulkhead_app' }), []);
    const store = await open(db.url);
    assert.deepEqual(await store.list(), []);
    await store.close();
    const [kept] = await sql<{ may: boolean }>(
      db.adminUrl,
      `select has_table_privilege('bulkhead_app', 'bulkhead.observation', 'DELETE') as may`,
    );
    assert.equal(kept?.may, true, 'the newer one knows why');
  });

  it('says in the first line of each file which Bulkhead can still read it', async () => {
    const [first, second] = await readMigrations();
    assert.deepEqual([first?.oldestReader, second?.oldestReader], [null, 2]);
  });

  it('that was made by another form of a file is refused', async () => {
    await using db = await testDatabase();
    await sql(db.adminUrl, `update bulkhead.migration set hash = 'other' where version = 1`);
    await rejectsWith(open(db.url), 'configuration', /another form of 0001_goals\.sql/);
  });

  it('keeps nothing of a migration that fails, and goes on from there', async () => {
    const { adminUrl } = await emptyDatabase();
    await assert.rejects(
      migrate(adminUrl, { known: await withNext('create table bulkhead.half (); select 1 / 0') }),
      StoreError,
    );
    const [half] = await sql<{ there: boolean }>(adminUrl, `select to_regclass('bulkhead.half') is not null as there`);
    assert.equal(half?.there, false);
    const known = await withNext('create table bulkhead.whole ()');
    assert.deepEqual(await migrate(adminUrl, { known }), ['next.sql']);
  });

  it('cannot be made by a role without the right to: the sentence says which right', async () => {
    const { adminUrl, url, superuserUrl, name } = await emptyDatabase();
    await rejectsWith(migrate(url), 'configuration', /denies the right.*use the database's owner, or grant it/);
    await sql(superuserUrl, `alter database ${name} owner to postgres`);
    await rejectsWith(migrate(adminUrl), 'configuration', /denies the right.*use the database's owner, or grant it/);
  });

  it('in order already asks for no right but to read: the role of run time may ask', async () => {
    await using db = await testDatabase();
    assert.deepEqual(await migrate(db.url), []);
  });

  it('changes without holding up those who work: it gives way to them, and tries again', {
    timeout: 60_000,
  }, async () => {
    await using db = await testDatabase();
    const reader = new pg.Client({ connectionString: db.adminUrl });
    await reader.connect();
    await reader.query('begin; select from bulkhead.goal_head');
    const known = await withNext('alter table bulkhead.goal_head add column later integer');
    const migrated = migrate(db.adminUrl, { known });
    let worst = 0;
    for (let n = 0; n < 30; n += 1) {
      const askedAt = performance.now();
      await db.store.heads();
      worst = Math.max(worst, performance.now() - askedAt);
      await sleep(100);
    }
    assert.ok(worst < 3_500, `a read waited ${worst} ms`);
    await reader.query('rollback');
    await reader.end();
    assert.deepEqual(await migrated, ['next.sql']);
  });
});

describe('partitions', () => {
  const partitions = (url: string) =>
    sql<{ name: string }>(
      url,
      `select relname as name from pg_class where relnamespace = 'bulkhead'::regnamespace and relispartition
       and relkind = 'r' order by relname`,
    );

  it('are there for this month and a year to come, and a migration makes what is lacking', async () => {
    await using db = await testDatabase();
    const all = await partitions(db.adminUrl);
    assert.equal(all.length, 2 * (13 + 1), 'months, and one for all other times, of events and of the scaler');
    const last = all.filter(({ name }) => /^event_\d/.test(name)).at(-1)?.name;
    await sql(db.adminUrl, `drop table bulkhead.${last}`);
    assert.deepEqual(await migrate(db.adminUrl), []);
    assert.deepEqual(await partitions(db.adminUrl), all);
  });
});

const HISTORY = [
  'goal_revision',
  'scaler_revision',
  'platform_revision',
  'event',
  'fence_confirmation',
  'brake_release',
];

/** A row in every table of history, so that statements about them have something to do. */
async function fillHistory(db: TestDatabase): Promise<void> {
  const origin = { author: 'ann', source: 'cli', reason: 'a test' } as const;
  const job = { tenant: 'a', name: 'b' };
  const [receipt] = await db.store.write(
    [{ job, content: { kind: 'spec', spec: { container: { image: 'app:1' } } } }],
    origin,
  );
  await db.store.write(
    [{ job, content: { kind: 'patch', layer: 'scaler', patch: { workers: { replicas: 2 } } } }],
    origin,
  );
  await db.store.writePlatform({ tenant: null, content: { defaults: {}, limits: {} } }, origin);
  await sql(
    db.adminUrl,
    `insert into bulkhead.event (job_id, revision, type, reason, message) values ($1, 1, 'Normal', 'Test', 'x')`,
    [receipt?.id],
  );
  await sql(
    db.adminUrl,
    `insert into bulkhead.fence_confirmation (system, fences, author, reason) values ('1', '{}', 'a', 'r')`,
  );
  await sql(db.adminUrl, `insert into bulkhead.brake_release (author, reason, released) values ('a', 'r', 0)`);
}

describe('rights', () => {
  it('of the role of run time end where history would be changed, and the owner is stopped by triggers', async () => {
    await using db = await testDatabase();
    await fillHistory(db);
    for (const table of HISTORY) {
      const statements = [
        `update bulkhead.${table} set author = author`.replace(
          'author = author',
          table === 'event' ? `message = 'x'` : `author = 'eve'`,
        ),
        `delete from bulkhead.${table}`,
        `truncate bulkhead.${table} cascade`,
      ];
      for (const statement of statements) {
        await assert.rejects(sql(db.url, statement), { code: '42501' }, statement);
        await assert.rejects(sql(db.adminUrl, statement), { code: '23001' }, statement);
      }
      await assert.rejects(sql(db.url, `alter table bulkhead.${table} disable trigger all`), { code: '42501' });
      await assert.rejects(sql(db.url, `drop table bulkhead.${table}`), { code: '42501' });
    }
  });

  it('of the role of run time do not reach partitions, neither to make nor to change nor to take away', async () => {
    await using db = await testDatabase();
    await fillHistory(db);
    const [part] = await sql<{ name: string }>(
      db.adminUrl,
      `select 'bulkhead.' || relname as name from pg_class where oid = (select tableoid from bulkhead.event limit 1)`,
    );
    for (const statement of [
      'select bulkhead.make_partitions(24)',
      `update ${part?.name} set message = 'x'`,
      `truncate ${part?.name}`,
      `alter table bulkhead.event detach partition ${part?.name}`,
      'create table bulkhead.mine ()',
      'create schema mine',
      `insert into bulkhead.migration (version, name, hash) values (3, 'x', 'x')`,
      'update bulkhead.store set id = gen_random_uuid()',
      `update bulkhead.job set name = 'other'`,
      'delete from bulkhead.idempotency',
      `update bulkhead.idempotency set receipts = '[]'`,
      'delete from bulkhead.job',
      'delete from bulkhead.goal_head',
      'delete from bulkhead.removal',
    ]) {
      await assert.rejects(sql(db.url, statement), { code: '42501' }, statement);
    }
    for (const statement of [`update ${part?.name} set message = 'x'`, `truncate ${part?.name}`]) {
      await assert.rejects(sql(db.adminUrl, statement), { code: '23001' }, statement);
    }
  });

  it('are given by every migration, taken back where somebody gave more, and left alone where they are right', async () => {
    await using db = await testDatabase();
    const may = async (right: string) =>
      (
        await sql<{ may: boolean }>(
          db.adminUrl,
          `select has_table_privilege('bulkhead_app', 'bulkhead.event', $1) as may`,
          [right],
        )
      )[0]?.may;
    await sql(db.adminUrl, 'grant delete on bulkhead.event to bulkhead_app');
    await sql(db.adminUrl, 'revoke insert on bulkhead.event from bulkhead_app');
    await migrate(db.adminUrl, { appRole: 'bulkhead_app' });
    assert.deepEqual([await may('INSERT'), await may('DELETE'), await may('SELECT')], [true, false, true]);
    const aclRows = `select xmin::text, oid::text from pg_class where relnamespace = 'bulkhead'::regnamespace order by oid`;
    const before = await sql(db.adminUrl, aclRows);
    await migrate(db.adminUrl, { appRole: 'bulkhead_app' });
    assert.deepEqual(await sql(db.adminUrl, aclRows), before, 'at rest, silence');
  });

  it('for a role that does not exist are asked for with the statement that makes it, before anything is changed', async () => {
    const { adminUrl } = await emptyDatabase();
    await rejectsWith(
      migrate(adminUrl, { appRole: 'no "such" role' }),
      'configuration',
      /has no role no "such" role, which Bulkhead runs as: make it with "create role "no ""such"" role" login password '…'"/,
    );
    assert.deepEqual(await sql(adminUrl, `select from pg_namespace where nspname = 'bulkhead'`), []);
  });

  it('that were not given yet are asked for, when the store is opened', async () => {
    const { adminUrl, url } = await emptyDatabase();
    await migrate(adminUrl);
    await rejectsWith(
      open(url),
      'configuration',
      /this role has no rights in the store yet: run "bulkhead migrate" with the owner's URL in DATABASE_ADMIN_URL/,
    );
  });

  it('are not needed where the role that migrates is the one that runs', async () => {
    const { adminUrl } = await emptyDatabase();
    await migrate(adminUrl, { appRole: 'bulkhead' });
    const store = await open(adminUrl);
    assert.deepEqual(await store.list(), []);
    await store.close();
  });
});

const JOB = '11111111-1111-4111-8111-111111111111';
const GONE = '22222222-2222-4222-8222-222222222222';

/** What version 1 had: a job with two revisions, a removed one, events of two years, and an operator at work. */
const VERSION_1 = `
  insert into bulkhead.job (id, tenant, name, created_at, removed_at) values
    ('${JOB}', 'ads', 'clicks', '2025-01-02 03:04:05.678901+00', null),
    ('${GONE}', 'ads', 'old', '2025-01-02 03:04:05+00', clock_timestamp() - interval '1 hour');
  insert into bulkhead.goal_revision (job_id, revision, content, content_hash, author, source, reason, created_at) values
    ('${JOB}', 1, '{"container": {"image": "app:1"}}', 'h1', 'ann', 'cli', null, '2025-01-02 03:04:05.678901+00'),
    ('${JOB}', 2, '{"container": {"image": "app:2"}}', 'h2', 'bob', 'api', 'newer', '2025-02-03 04:05:06.000001+00'),
    ('${GONE}', 1, '{"container": {"image": "app:1"}}', 'h1', 'ann', 'cli', null, '2025-01-02 03:04:05+00'),
    ('${GONE}', 2, null, 'h3', 'ann', 'cli', 'over', '2025-01-03 03:04:05+00');
  insert into bulkhead.goal_head (job_id, revision) values ('${JOB}', 2), ('${GONE}', 2);
  insert into bulkhead.observation (job_id, status) values ('${JOB}', '{"jobId": "${JOB}", "phase": "Ready"}');
  insert into bulkhead.event (job_id, revision, type, reason, message, at)
    select '${JOB}', 1, 'Normal', 'Test', 'event ' || n, '2025-06-01'::timestamptz + n * interval '1 month'
    from generate_series(1, 30) n;
  update bulkhead.shard set owner = 'an operator', epoch = 7, expires_at = clock_timestamp() + interval '10 minutes';
  insert into bulkhead.cluster (id, context_name, server, current)
    values ('33333333-3333-4333-8333-333333333333', 'kind-test', 'https://127.0.0.1:6443', true);`;

describe('an upgrade from version 1', () => {
  it('keeps every job, revision, event and observation, the cluster, and the lease of the operator at work', async () => {
    const { adminUrl, url, appRole } = await emptyDatabase();
    const known = await readMigrations();
    assert.deepEqual(await migrate(adminUrl, { known: known.slice(0, 1) }), ['0001_goals.sql']);
    await sql(adminUrl, VERSION_1);
    const [{ id } = { id: '' }] = await sql<{ id: string }>(adminUrl, 'select id from bulkhead.store');
    await rejectsWith(open(adminUrl), 'configuration', /run "bulkhead migrate"/);
    assert.deepEqual(
      await migrate(adminUrl, { appRole }),
      known.slice(1).map((m) => m.name),
    );

    const store = await open(url);
    assert.equal(store.storeId, id);
    const goal = await store.find({ tenant: 'ads', name: 'clicks' });
    assert.deepEqual(
      [goal?.job.id, goal?.revision, goal?.layers.job.author, goal?.layers.job.reason],
      [JOB, 2, 'bob', 'newer'],
    );
    assert.deepEqual(goal?.content, { kind: 'spec', spec: { container: { image: 'app:2' } } });
    assert.deepEqual([goal?.layers.scaler, goal?.layers.oncall], [null, null]);
    const history = await store.history(jobId(JOB));
    assert.deepEqual(
      history.map((r) => [r.revision, r.author, r.contentHash, r.createdAt.toISOString()]),
      [
        [1, 'ann', 'h1', '2025-01-02T03:04:05.678Z'],
        [2, 'bob', 'h2', '2025-02-03T04:05:06.000Z'],
      ],
    );
    const [micros] = await sql<{ at: string }>(
      adminUrl,
      `select to_char(created_at at time zone 'utc', 'SS.US') as at from bulkhead.goal_revision where job_id = '${JOB}' and revision = 2`,
    );
    assert.equal(micros?.at, '06.000001');
    assert.equal((await store.findRemoved({ tenant: 'ads', name: 'old' }))?.goal.job.id, GONE);
    const events = await store.events({ limit: 100 });
    assert.deepEqual(
      events.map((e) => e.message),
      Array.from({ length: 30 }, (_, n) => `event ${n + 1}`),
    );
    assert.equal((await store.statuses()).length, 1);
    assert.equal((await store.currentCluster())?.contextName, 'kind-test');
    assert.deepEqual((await store.heads()).map((h) => h.jobId).sort(), [JOB, GONE]);

    const [before] = await store.replicas();
    assert.deepEqual([before?.name, before?.shards.length, before?.alive], ['operator before schema 2', 256, true]);
    const me = { id: replicaId('44444444-4444-4444-8444-444444444444'), name: 'newer', clusterId: null };
    assert.deepEqual((await store.heartbeat(me, 10_000)).fences, [], 'its lease has not run out');
    await sql(adminUrl, `update bulkhead.replica set expires_at = '-infinity' where name like 'operator before%'`);
    const { fences } = await store.heartbeat(me, 10_000);
    assert.equal(fences.length, 256);
    assert.ok(fences.every((fence) => fence.epoch.n === 8));

    const [receipt] = await store.write(
      [{ job: { tenant: 'ads', name: 'clicks' }, content: { kind: 'spec', spec: { container: { image: 'app:3' } } } }],
      { author: 'ann', source: 'cli', reason: null },
    );
    assert.deepEqual([receipt?.id, receipt?.revision], [JOB, 3]);
    await store.record(fences.find((fence) => fence.shard === 0) ?? assert.fail('no shard 0'), {
      status: null,
      events: [],
    });
    await store.close();
  });

  it('of a store that nobody works on leaves its shards free', async () => {
    const { adminUrl } = await emptyDatabase();
    await migrate(adminUrl, { known: (await readMigrations()).slice(0, 1) });
    await migrate(adminUrl);
    const store = await open(adminUrl);
    assert.deepEqual(await store.replicas(), []);
    const me = { id: replicaId('44444444-4444-4444-8444-444444444444'), name: 'newer', clusterId: null };
    assert.equal((await store.heartbeat(me, 10_000)).fences.length, 256);
    await store.close();
  });
});

/** What version 2 had: a job with all three layers. */
const VERSION_2 = `
  insert into bulkhead.job (id, tenant, name) values ('${JOB}', 'ads', 'clicks'), ('${GONE}', 'ads', 'late');
  insert into bulkhead.goal_revision (job_id, revision, layer, content, content_hash, until, author, source, reason) values
    ('${JOB}', 1, 'job', '{"container": {"image": "app:1"}}', 'h1', null, 'ann', 'cli', null),
    ('${JOB}', 3, 'oncall', '{"workers": {"replicas": 5}}', 'h3', '2100-01-01', 'bob', 'oncall', 'load');
  insert into bulkhead.scaler_revision (job_id, revision, content, content_hash, author, source, created_at)
    values ('${JOB}', 2, '{"workers": {"replicas": 3}}', 'h2', 'scaler', 'scaler', '2026-11-01T00:00:00Z');
  insert into bulkhead.goal_head
    (job_id, revision, job_revision, scaler_revision, scaler_at, oncall_revision, oncall_until)
    values ('${JOB}', 3, 1, 2, '2026-11-01T00:00:00Z', 3, '2100-01-01');`;

/** As version 2 makes a job: it knows of no column that came later. */
const MADE_BY_VERSION_2 = `
  insert into bulkhead.goal_revision (job_id, revision, layer, content, content_hash, author, source)
    values ('${GONE}', 1, 'job', '{"container": {"image": "app:1"}}', 'h1', 'ann', 'cli');
  insert into bulkhead.goal_head (job_id, revision, job_revision) values ('${GONE}', 1, 1);`;

describe('an upgrade from version 2', () => {
  it('leaves every revision as it was: nobody took over; and a Bulkhead of version 2 works on', async () => {
    const { adminUrl, url, appRole } = await emptyDatabase();
    const known = await readMigrations();
    // Without the role, whose rights are those that this version needs.
    await migrate(adminUrl, { known: known.slice(0, 2) });
    await sql(adminUrl, VERSION_2);
    await rejectsWith(open(adminUrl), 'configuration', /run "bulkhead migrate"/);
    assert.deepEqual((await migrate(adminUrl, { appRole }))[0], '0003_take_over.sql');
    assert.deepEqual(
      await migrate(adminUrl, { known: known.slice(0, 2), appRole }),
      [],
      'the older one takes no offence',
    );
    await sql(url, MADE_BY_VERSION_2);

    const store = await open(url);
    const history = [...(await store.history(jobId(JOB))), ...(await store.history(jobId(GONE)))];
    assert.deepEqual(
      history.map((it) => [it.revision, it.content.kind, it.author, 'takeOver' in it]),
      [
        [1, 'spec', 'ann', false],
        [2, 'patch', 'scaler', false],
        [3, 'patch', 'bob', false],
        [1, 'spec', 'ann', false],
      ],
    );
    const change = { kind: 'spec', spec: { container: { image: 'app:2' } } } as const;
    const [receipt] = await store.write([{ job: { tenant: 'ads', name: 'clicks' }, content: change, takeOver: true }], {
      author: 'ann',
      source: 'cli',
      reason: null,
    });
    assert.deepEqual([receipt?.id, receipt?.revision], [JOB, 4]);
    const layers = (await store.find({ tenant: 'ads', name: 'clicks' }))?.layers;
    assert.deepEqual(
      [layers?.job.takeOver, layers?.scaler?.revision, layers?.oncall?.revision, layers?.oncall?.takeOver],
      [true, 2, 3, undefined],
    );
    await store.close();
    await assert.rejects(
      sql(
        adminUrl,
        `insert into bulkhead.goal_revision (job_id, revision, layer, content_hash, author, source, take_over)
        values ('${JOB}', 9, 'oncall', 'x', 'ann', 'cli', true)`,
      ),
      /check constraint/,
    );
  });
});
