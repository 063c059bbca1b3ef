import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import type { ArchivedJob, StoreArchive } from '../../src/job/archive.ts';
import { archiveYaml, readArchive } from '../../src/job/archive-document.ts';
import type { LayerContent } from '../../src/job/goal.ts';
import { jobId, replicaId } from '../../src/job/ids.ts';
import type { ChangeOrigin, GoalChange } from '../../src/ports/store.ts';
import { openArchivist } from '../../src/store/archive.ts';
import { archiveBefore } from '../../src/store/archive-partitions.ts';
import { openStore } from '../../src/store/open.ts';
import { specArbitrary } from '../support/arbitrary.ts';
import { emptyStore, sql, type TestDatabase, testDatabase } from '../support/postgres.ts';

const ORIGIN: ChangeOrigin = { author: 'ann', source: 'cli', reason: 'a "test"\n: of ünï' };
const spec = (image: string): LayerContent => ({ kind: 'spec', spec: { container: { image } } });
const oncall = (replicas: number, until: Date | null): LayerContent => ({
  kind: 'patch',
  layer: 'oncall',
  patch: { workers: { replicas }, container: { env: [{ name: 'A', $remove: true }] } },
  until,
});
const scaler = (replicas: number): LayerContent => ({
  kind: 'patch',
  layer: 'scaler',
  patch: { workers: { replicas } },
});

/** A store with everything an archive has: layers that came and went, removed jobs, names used twice, platforms. */
async function fill(db: TestDatabase): Promise<void> {
  const { store } = db;
  const say = (name: string, content: LayerContent, origin = ORIGIN, tenant = 'ads') =>
    store.write([{ job: { tenant, name }, content }], origin);
  await store.writePlatform({ tenant: null, content: { defaults: { workers: { replicas: 2 } }, limits: {} } }, ORIGIN);
  await store.writePlatform({ tenant: 'ads', content: { defaults: {}, limits: { images: ['app'] } } }, ORIGIN);
  await store.writePlatform(
    { tenant: 'ads', content: { defaults: {}, limits: {} } },
    { ...ORIGIN, idempotencyKey: 'p' },
  );
  await say('a', spec('app:1'), { ...ORIGIN, idempotencyKey: 'key' });
  await store.write([{ job: { tenant: 'ads', name: 'a' }, content: spec('app:8'), takeOver: true }], ORIGIN);
  await say('a', scaler(3));
  await say('a', oncall(5, new Date(Date.now() + 3_600_000)));
  await say('a', scaler(4));
  await say('a', { kind: 'cleared', layer: 'oncall' });
  await say('b', spec('app:1'));
  await say('b', oncall(7, null));
  await store.write([{ job: { tenant: 'ads', name: 'b' }, content: { kind: 'tombstone' }, takeOver: true }], ORIGIN);
  await say('c', spec('app:1'));
  await say('c', { kind: 'cleared', layer: 'scaler' });
  await say('c', scaler(2));
  await say('c', { kind: 'cleared', layer: 'scaler' });
  await sql(db.adminUrl, `update bulkhead.store set undelete_retention = '0'`);
  await say('reused', spec('app:1'));
  await say('reused', { kind: 'tombstone' });
  await say('reused', spec('app:2'));
  await sql(db.adminUrl, `update bulkhead.store set undelete_retention = '1 month 2 days 03:00:00.5'`);
  const specs = fc.sample(specArbitrary, 20);
  await store.write(
    specs.map(
      (one, n): GoalChange => ({ job: { tenant: 'any', name: `s-${n}` }, content: { kind: 'spec', spec: one } }),
    ),
    ORIGIN,
  );
}

async function textOf(url: string): Promise<string> {
  const archivist = await openArchivist({ url, applicationName: 'test' });
  const parts: string[] = [];
  try {
    await archivist.readArchive(async (archive) => {
      for await (const part of archiveYaml(archive)) parts.push(part);
    });
  } finally {
    await archivist.close();
  }
  return parts.join('');
}

async function restore(url: string, archive: StoreArchive) {
  const archivist = await openArchivist({ url, applicationName: 'test' });
  try {
    return await archivist.restoreArchive(archive);
  } finally {
    await archivist.close();
  }
}

async function* pieces(text: string): AsyncGenerator<string, void> {
  for (let at = 0; at < text.length; at += 1_000) yield text.slice(at, at + 1_000);
}

const parse = (text: string) => readArchive(pieces(text), 'archive.yaml');

/** Every table that says what jobs should be, in an order of its own; not what says when and how it came to be stored. */
const TABLES: Readonly<Record<string, string>> = {
  store: 'id, undelete_retention',
  job: 'id, tenant, name, created_at::text, removed_at::text, shard',
  goal_revision:
    'job_id, revision, layer, content, until::text, take_over, content_hash, author, source, reason, idempotency_key, created_at::text',
  scaler_revision: 'job_id, revision, content, content_hash, author, source, reason, idempotency_key, created_at::text',
  goal_head: 'job_id, revision, job_revision, scaler_revision, scaler_at::text, oncall_revision, oncall_until::text',
  platform_revision:
    'scope, revision, content, content_hash, author, source, reason, idempotency_key, created_at::text',
  platform_head: 'scope, revision',
  idempotency: 'tenant, key, body_hash, receipts, created_at::text',
};

async function rowsOf(url: string): Promise<Record<string, unknown[]>> {
  const rows: Record<string, unknown[]> = {};
  for (const [table, columns] of Object.entries(TABLES)) {
    rows[table] = await sql(url, `select ${columns} from bulkhead.${table} order by ${table === 'store' ? 1 : '1, 2'}`);
  }
  return rows;
}

describe('a whole store', () => {
  let db: TestDatabase;
  let text: string;
  before(async () => {
    db = await testDatabase();
    await fill(db);
    text = await textOf(db.url);
  });
  after(() => db[Symbol.asyncDispose]());

  it('restored from its archive is the same to the last microsecond: every row, and the archive of it', async () => {
    const { adminUrl, url } = await emptyStore();
    const restored = await restore(adminUrl, await parse(text));
    assert.deepEqual([restored.jobs, restored.revisions > 30], [25, true]);
    assert.equal(await textOf(url), text);
    assert.deepEqual(await rowsOf(adminUrl), await rowsOf(db.adminUrl));
    const store = await openStore({ url, applicationName: 'test' });
    assert.equal(store.storeId, db.store.storeId);
    assert.deepEqual(await store.list(), await db.store.list());
    const [receipt] = await store.write([{ job: { tenant: 'ads', name: 'a' }, content: spec('app:9') }], ORIGIN);
    assert.deepEqual([receipt?.outcome, receipt?.revision], ['configured', 7], 'and work goes on from there');
    await store.close();
  });

  it('of a Bulkhead before taking over is taken as one where nobody did', async () => {
    const lines = text.split('\n');
    const older = lines.filter((line) => line !== '    takeOver: true');
    assert.equal(lines.length - older.length, 2, 'a spec and a removal took over');
    const { adminUrl, url } = await emptyStore();
    await restore(adminUrl, await parse(older.join('\n')));
    assert.equal(await textOf(url), older.join('\n'));
    assert.deepEqual(await sql(adminUrl, 'select from bulkhead.goal_revision where take_over'), []);
  });

  it('knows the keys of calls that were made before it moved: a repeat stores nothing, and a removed job can be brought back', async () => {
    const { adminUrl, url } = await emptyStore();
    await restore(adminUrl, await parse(text));
    const store = await openStore({ url, applicationName: 'test' });
    const key = { ...ORIGIN, idempotencyKey: 'key' };
    const [first] = await db.store.history((await db.store.find({ tenant: 'ads', name: 'a' }))?.job.id ?? jobId(''));
    assert.equal(first?.idempotencyKey, 'key');
    const [receipt] = await store.write([{ job: { tenant: 'ads', name: 'a' }, content: spec('app:1') }], key);
    assert.deepEqual([receipt?.outcome, receipt?.revision], ['created', 1], 'as it was answered then');
    const platform = { tenant: 'ads', content: { defaults: {}, limits: {} } };
    const again = await store.writePlatform(platform, { ...ORIGIN, idempotencyKey: 'p' });
    assert.deepEqual([again.outcome, again.revision], ['configured', 2]);
    assert.deepEqual(await rowsOf(adminUrl), await rowsOf(db.adminUrl), 'nothing was stored');
    const removed = await store.findRemoved({ tenant: 'ads', name: 'b' });
    assert.deepEqual(removed, await db.store.findRemoved({ tenant: 'ads', name: 'b' }));
    assert.ok(removed);
    await store.close();
  });

  it('is read at one moment, also while others write', async () => {
    const archivist = await openArchivist({ url: db.url, applicationName: 'test' });
    let seen = '';
    await archivist.readArchive(async (archive) => {
      await db.store.write([{ job: { tenant: 'late', name: 'comer' }, content: spec('app:1') }], ORIGIN);
      for await (const part of archiveYaml(archive)) seen += part;
    });
    await archivist.close();
    assert.equal(seen, text);
  });

  it('is read job by job: also many more of them than come at a time', async () => {
    await using own = await testDatabase();
    const names = Array.from({ length: 1_050 }, (_, n) => `job-${n}`);
    await own.store.write(
      names.map((name) => ({ job: { tenant: 'many', name }, content: spec('app:1') })),
      ORIGIN,
    );
    const many = await textOf(own.url);
    const { adminUrl } = await emptyStore();
    assert.deepEqual(await restore(adminUrl, await parse(many)), { jobs: 1_050, revisions: 1_050 });
    assert.equal(await textOf(adminUrl), many);
  });

  it('goes into an empty store only, which nobody works on, and only by the owner', async () => {
    await assert.rejects(restore(db.adminUrl, await parse(text)), {
      kind: 'conflict',
      message: /is not empty: restore into a new database/,
    });
    const target = await emptyStore();
    await assert.rejects(restore(target.url, await parse(text)), {
      kind: 'configuration',
      message: /denies the right/,
    });
    const store = await openStore({ url: target.url, applicationName: 'test' });
    const me = { id: replicaId('44444444-4444-4444-8444-444444444444'), name: 'me', clusterId: null };
    await store.heartbeat(me, 60_000);
    await assert.rejects(restore(target.adminUrl, await parse(text)), {
      kind: 'conflict',
      message: /An operator runs on .*: stop it, then restore/,
    });
    await store.leave(me.id);
    await store.close();
    assert.equal((await restore(target.adminUrl, await parse(text))).jobs, 25);
  });

  it('comes all or not at all: what breaks off half-way leaves the store empty, and says its own error', async () => {
    const { adminUrl } = await emptyStore();
    const whole = await parse(text);
    async function* half(): AsyncGenerator<ArchivedJob, void> {
      let n = 0;
      for await (const job of whole.jobs) {
        n += 1;
        if (n > 10) throw new RangeError('the disk went away');
        yield job;
      }
    }
    await assert.rejects(restore(adminUrl, { ...whole, jobs: half() }), { name: 'RangeError' });
    assert.deepEqual(await sql(adminUrl, 'select from bulkhead.job'), []);
    assert.deepEqual(await sql(adminUrl, 'select from bulkhead.platform_revision'), []);
    assert.equal((await restore(adminUrl, await parse(text))).jobs, 25);
  });

  it('that was written to a full disk says that, not that the database failed', async () => {
    const archivist = await openArchivist({ url: db.url, applicationName: 'test' });
    const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    await assert.rejects(
      archivist.readArchive(async () => {
        throw full;
      }),
      full,
    );
    await archivist.close();
  });

  const damages: [string, (job: ArchivedJob) => ArchivedJob, RegExp][] = [
    [
      'content that is not what its hash says',
      (job) => ({ ...job, revisions: job.revisions.map((r) => ({ ...r, contentHash: 'f'.repeat(64) })) }),
      /damaged at job .*: the content of revision 1 is not what its hash says/,
    ],
    [
      'numbers out of order',
      (job) => ({ ...job, revisions: [...job.revisions, ...job.revisions] }),
      /comes after revision/,
    ],
    [
      'a removal that its revisions do not tell',
      (job) => ({ ...job, removedAt: job.removedAt === null ? job.createdAt : null }),
      /whether it was removed is not what its revisions say/,
    ],
    ['no revision', (job) => ({ ...job, revisions: [] }), /it has no revision of its own layer/],
    ['a time that is none', (job) => ({ ...job, createdAt: 'soon' }), /soon/],
  ];
  for (const [what, damage, message] of damages) {
    it(`with ${what} is refused`, async () => {
      const { adminUrl } = await emptyStore();
      const whole = await parse(text);
      async function* damaged(): AsyncGenerator<ArchivedJob, void> {
        for await (const job of whole.jobs) yield damage(job);
      }
      await assert.rejects(restore(adminUrl, { ...whole, jobs: damaged() }), { name: 'StoreError', message });
      assert.deepEqual(await sql(adminUrl, 'select from bulkhead.job'), []);
    });
  }
});

describe('history that is old', () => {
  /** Moves everything a month or more back, as time would; for the superuser alone, past all triggers. */
  async function age(db: TestDatabase, id: string): Promise<void> {
    const [{ month } = { month: '' }] = await sql<{ month: string }>(
      db.adminUrl,
      `select to_char(now() at time zone 'utc' - interval '3 months', 'YYYY_MM') as month`,
    );
    for (const parent of ['event', 'scaler_revision']) {
      await sql(
        db.adminUrl,
        `do $$ begin execute format('create table bulkhead.${parent}_${month} partition of bulkhead.${parent}
           for values from (%L) to (%L)', date_trunc('month', now() - interval '3 months'), date_trunc('month', now() - interval '2 months'));
         end $$`,
      );
    }
    const old = `date_trunc('month', now() - interval '3 months') + interval '5 days'`;
    await sql(
      db.adminUrl,
      `insert into bulkhead.event (job_id, revision, type, reason, message, at) values ('${id}', 1, 'Normal', 'Test', 'old', ${old})`,
    );
    await sql(
      db.adminUrl,
      `insert into bulkhead.scaler_revision (job_id, revision, content, content_hash, author, source, created_at)
       values ('${id}', 2, '{"workers": {"replicas": 3}}', 'x', 'scaler', 'scaler', ${old})`,
    );
    await sql(
      db.adminUrl,
      `update bulkhead.goal_head set revision = 2, scaler_revision = 2, scaler_at = ${old} where job_id = '${id}'`,
    );
    await sql(db.adminUrl, `update bulkhead.idempotency set created_at = ${old}`);
  }
  const lastMonth = () => new Date(Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth(), 1));

  it('is moved away by the owner month by month, but for what a scaler says now; the rest is not touched', async () => {
    await using db = await testDatabase();
    const [receipt] = await db.store.write([{ job: { tenant: 'a', name: 'b' }, content: spec('app:1') }], ORIGIN);
    assert.ok(receipt?.id);
    await age(db, receipt.id);
    const say = (content: LayerContent) => db.store.write([{ job: { tenant: 'a', name: 'b' }, content }], ORIGIN);

    const first = await archiveBefore(db.adminUrl, lastMonth());
    assert.match(first.moved.join(), /^bulkhead_archive\.event_\d{4}_\d\d$/);
    assert.match(first.kept.join(), /^scaler_revision_\d{4}_\d\d$/);
    assert.equal(first.keys, 1);
    assert.equal((await db.store.find({ tenant: 'a', name: 'b' }))?.layers.scaler?.revision, 2);
    assert.deepEqual(await db.store.events({ limit: 10 }), []);
    assert.equal((await sql(db.adminUrl, `select from ${first.moved[0]}`)).length, 1, 'the owner still has it');

    await say(scaler(4));
    const second = await archiveBefore(db.adminUrl, lastMonth());
    assert.match(second.moved.join(), /^bulkhead_archive\.scaler_revision_\d{4}_\d\d$/);
    assert.deepEqual([second.kept, second.keys], [[], 0]);
    const history = await db.store.history(receipt.id);
    assert.deepEqual(
      history.map((r) => r.revision),
      [1, 3],
    );
    assert.equal((await db.store.find({ tenant: 'a', name: 'b' }))?.revision, 3);
    assert.deepEqual(await archiveBefore(db.adminUrl, lastMonth()), { moved: [], kept: [], keys: 0 });

    const text = await textOf(db.url);
    const { adminUrl } = await emptyStore();
    await restore(adminUrl, await parse(text));
    assert.equal(await textOf(adminUrl), text, 'what is left is a store like any other');
  });

  it('is not moved by the role of run time, which cannot reach what was moved either', async () => {
    await using db = await testDatabase();
    const [receipt] = await db.store.write([{ job: { tenant: 'a', name: 'b' }, content: spec('app:1') }], ORIGIN);
    await age(db, receipt?.id ?? '');
    await assert.rejects(archiveBefore(db.url, lastMonth()), { kind: 'configuration', message: /denies the right/ });
    assert.equal((await db.store.events({ limit: 10 })).length, 1);
    const { moved } = await archiveBefore(db.adminUrl, lastMonth());
    await assert.rejects(sql(db.url, `select from ${moved[0]}`), { code: '42501' });
  });

  it('is over: what is yet to come is refused', async () => {
    await using db = await testDatabase();
    for (const time of [new Date(Date.now() + 86_400_000), new Date(Number.NaN)]) {
      await assert.rejects(archiveBefore(db.adminUrl, time), { kind: 'invalid', message: /name a time that is over/ });
    }
  });

  it('leaves alone a month that the time lies in', async () => {
    await using db = await testDatabase();
    assert.deepEqual((await archiveBefore(db.adminUrl, new Date())).moved, []);
  });
});
