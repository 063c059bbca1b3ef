import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import pg from 'pg';
import type { LayerContent } from '../../src/job/goal.ts';
import { type JobId, jobId, SHARD_COUNT, type Shard, shard, shardOf } from '../../src/job/ids.ts';
import type { Changes, Cursor } from '../../src/ports/store.ts';
import { changesSince, cursor } from '../../src/store/changes.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openDatabase } from '../../src/store/pool.ts';
import { sql, startServer, type TestDatabase, testDatabase, useOwnServer } from '../support/postgres.ts';
import { until } from '../support/until.ts';

const ORIGIN = { author: 'ann', source: 'cli', reason: 'test' } as const;
const ALL_SHARDS: readonly Shard[] = Array.from({ length: SHARD_COUNT }, (_, n) => shard(n));
const OPTIONS = { applicationName: 'test', maxConnections: 1, connectTimeoutMs: 5_000, statementTimeoutMs: 5_000 };
const PLATFORM = { defaults: {}, limits: {} };

let db: TestDatabase;

useOwnServer();

beforeEach(async () => {
  db = await testDatabase();
});
afterEach(() => db[Symbol.asyncDispose]());

const admin = <Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) =>
  sql<Row>(db.superuserUrl, text, values);

async function write(name: string, content: LayerContent): Promise<JobId> {
  const [receipt] = await db.store.write([{ job: { tenant: 'ads', name }, content }], ORIGIN);
  assert.ok(receipt?.id);
  return receipt.id;
}

const apply = (name: string, image = 'app:1') => write(name, { kind: 'spec', spec: { container: { image } } });

/** Reads on like a replica does: each call goes on where the one before stopped. */
class Reader {
  #cursor: Cursor;
  private constructor(from: Cursor) {
    this.#cursor = from;
  }
  static async here(): Promise<Reader> {
    return new Reader(await db.store.cursor());
  }
  async next(): Promise<Changes> {
    const changes = await db.store.changesSince(this.#cursor);
    assert.ok(changes);
    this.#cursor = changes.cursor;
    return changes;
  }
  async jobs(): Promise<JobId[]> {
    return (await this.next()).jobs.map((head) => head.jobId);
  }
}

/** A writer that a test can stop anywhere. */
async function openWriter(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: db.superuserUrl });
  await client.connect();
  return client;
}

/** Puts a new revision of a job where a write does, without the rest of it. */
async function revise(writer: pg.Client, id: JobId): Promise<void> {
  await writer.query(
    `with head as (update bulkhead.goal_head set revision = revision + 1, job_revision = revision + 1 where job_id = $1
       returning revision)
     insert into bulkhead.goal_revision (job_id, revision, layer, content, content_hash, author, source)
     select $1, revision, 'job', '{}', '', 'ann', 'cli' from head`,
    [id],
  );
}

describe('the cursor', () => {
  it('finds each change once, with the newest revision of its job, and nothing at rest', async () => {
    const before = await apply('before');
    const reader = await Reader.here();
    assert.deepEqual((await reader.next()).jobs, []);
    const id = await apply('new');
    await apply('new', 'app:2');
    assert.deepEqual((await reader.next()).jobs, [{ jobId: id, revision: 2 }]);
    assert.deepEqual((await reader.next()).jobs, []);
    await write('before', { kind: 'tombstone' });
    assert.deepEqual((await reader.next()).jobs, [{ jobId: before, revision: 2 }]);
  });

  it('finds changes of every layer, and of the platform for all and for a tenant', async () => {
    const id = await apply('a');
    const reader = await Reader.here();
    await write('a', { kind: 'patch', layer: 'scaler', patch: { workers: { replicas: 3 } } });
    assert.deepEqual((await reader.next()).jobs, [{ jobId: id, revision: 2 }]);
    await write('a', { kind: 'patch', layer: 'oncall', patch: { suspended: true }, until: null });
    assert.deepEqual((await reader.next()).jobs, [{ jobId: id, revision: 3 }]);
    await db.store.writePlatform({ tenant: null, content: PLATFORM }, ORIGIN);
    await db.store.writePlatform({ tenant: 'ads', content: PLATFORM }, ORIGIN);
    await db.store.writePlatform({ tenant: 'ads', content: { ...PLATFORM, limits: { images: ['app'] } } }, ORIGIN);
    const { jobs, platforms } = await reader.next();
    assert.deepEqual(jobs, []);
    assert.deepEqual(
      platforms.toSorted((a, b) => a.revision - b.revision),
      [
        { tenant: null, revision: 1 },
        { tenant: 'ads', revision: 2 },
      ],
    );
    assert.deepEqual((await reader.next()).platforms, []);
  });

  it('does not miss a commit that becomes visible late, after any number of reads beyond it', async () => {
    const [late, quick] = [await apply('late'), await apply('quick')];
    const reader = await Reader.here();
    const writer = await openWriter();
    await writer.query('begin');
    await revise(writer, late);
    for (let n = 2; n < 6; n += 1) {
      await apply('quick', `app:${n}`);
      assert.deepEqual(await reader.jobs(), [quick], 'what was committed meanwhile is seen at once');
    }
    await writer.query('commit');
    assert.deepEqual(new Set(await reader.jobs()), new Set([late, quick]));
    assert.deepEqual(await reader.jobs(), [], 'then the horizon goes on');
    await writer.end();
  });

  it('misses nothing however writers overlap, stall, commit or roll back between the reads', async () => {
    const ids = await Promise.all(Array.from({ length: 4 }, (_, n) => apply(`job-${n}`)));
    const writers = await Promise.all(ids.map(openWriter));
    const step = fc.record({
      who: fc.nat(ids.length - 1),
      what: fc.constantFrom('write', 'commit', 'rollback', 'read'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
        const reader = await Reader.here();
        const open = new Set<number>();
        const unseen = new Set<JobId>();
        const read = async () => {
          const seen = new Set(await reader.jobs());
          for (const id of unseen) assert.ok(seen.has(id), 'what was committed before a read is in it');
          unseen.clear();
        };
        const end = async (who: number, how: string) => {
          await writers[who]?.query(how);
          const id = ids[who];
          if (how === 'commit' && id !== undefined) unseen.add(id);
          open.delete(who);
        };
        for (const { who, what } of steps) {
          const [writer, id] = [writers[who], ids[who]];
          assert.ok(writer && id);
          if (what === 'read') await read();
          else if (what !== 'write') await (open.has(who) && end(who, what));
          else if (!open.has(who)) {
            open.add(who);
            await writer.query('begin');
            await revise(writer, id);
          }
        }
        for (const who of [...open]) await end(who, 'commit');
        await read();
        assert.deepEqual(await reader.jobs(), []);
      }),
      { numRuns: 30 },
    );
    await Promise.all(writers.map((writer) => writer.end()));
  });

  it('tells for how long a transaction has held it back, of whatever role', async () => {
    const reader = await Reader.here();
    assert.equal((await reader.next()).lagMs, 0);
    const writer = await openWriter();
    await writer.query('begin; select pg_current_xact_id()');
    // Something overtakes it, as heartbeats do all the time.
    await apply('other');
    await reader.next();
    await sleep(300);
    const { lagMs } = await reader.next();
    assert.ok(lagMs >= 300, `${lagMs} ms`);
    await sleep(100);
    assert.ok((await reader.next()).lagMs >= lagMs + 100, 'and it grows');
    await writer.query('rollback');
    await writer.end();
    assert.equal((await reader.next()).lagMs, 0);
    await sleep(200);
    assert.equal((await reader.next()).lagMs, 0, 'nothing holds a store that rests');
  });

  it('of another database, another timeline or nobody says nothing: everything is to be read', async () => {
    const here = await db.store.cursor();
    assert.ok(await db.store.changesSince(here));
    const [xid, ...rest] = here.horizon.split(' ');
    const others: Cursor[] = [
      { ...here, system: '1' },
      { ...here, timeline: here.timeline + 1 },
      { ...here, horizon: [Number(xid) + 1_000_000, ...rest].join(' ') },
      { ...here, horizon: '12' },
    ];
    for (const other of others) assert.equal(await db.store.changesSince(other), null, JSON.stringify(other));
  });
});

describe('a crash of the server', () => {
  it('that takes back transaction ids which were given already is noticed: everything is to be read', async () => {
    // Nothing reaches the disk by itself, so that the crash takes with it what nobody was promised.
    const server = await startServer('changes-crash', { wal_writer_delay: '10s' });
    await migrate(server.adminUrl, { appRole: server.appRole });
    const reader = await openDatabase({ ...OPTIONS, url: server.superuserUrl });
    const nextXid = async () =>
      Number((await reader.query<{ xid: string }>('select pg_current_xact_id() as xid'))[0]?.xid);
    await reader.query('checkpoint');
    for (let n = 0; n < 20; n += 1) await nextXid();
    const before = await cursor(reader);
    assert.ok(await changesSince(reader, before));
    const [backend] = await reader.query<{ pid: number }>('select pg_backend_pid() as pid');
    assert.ok(backend);
    process.kill(backend.pid, 'SIGKILL');
    await until('the server is back', 10_000, () => reader.query('select 1').catch(() => null));
    assert.ok((await nextXid()) < Number(before.horizon.split(' ')[0]), 'the next change would lie before the cursor');
    for (let n = 0; n < 40; n += 1) await nextXid();
    assert.equal(await changesSince(reader, before), null, 'also when the ids have caught up');
    await reader.close();
  });
});

describe('reading on', () => {
  it('costs as much as there are changes, not jobs: by the indexes, also before Postgres has any statistics', async () => {
    await admin(`
      insert into bulkhead.job (id, tenant, name) select gen_random_uuid(), 'idle', 'job-' || n
        from generate_series(1, 20000) n`);
    await admin(`
      insert into bulkhead.goal_revision (job_id, revision, layer, content, content_hash, author, source)
        select id, 1, 'job', '{}', '', 'ann', 'cli' from bulkhead.job`);
    await admin(`
      insert into bulkhead.scaler_revision (job_id, revision, content, content_hash, author, source)
        select id, 2, '{}', '', 'ann', 'scaler' from bulkhead.job`);
    await admin(`insert into bulkhead.goal_head (job_id, revision, job_revision) select id, 2, 1 from bulkhead.job`);
    const own = await openDatabase({ ...OPTIONS, url: db.url });
    /** What was read of all tables together since the last call. */
    let last = { scans: 0, rows: 0 };
    const work = async () => {
      await own.query('select pg_stat_force_next_flush()');
      const [now] = await admin<typeof last>(
        `select sum(seq_scan)::int as scans, sum(seq_tup_read + idx_tup_fetch)::int as rows
         from pg_stat_user_tables where schemaname = 'bulkhead'`,
      );
      assert.ok(now);
      const since = { scans: now.scans - last.scans, rows: now.rows - last.rows };
      last = now;
      return since;
    };
    for (const statistics of ['without', 'with']) {
      if (statistics === 'with') await admin('analyze');
      const from = await cursor(own);
      const ids = [await apply(`${statistics}-a`), await apply(`${statistics}-b`)];
      await work();
      const changes = await changesSince(own, from);
      const { scans, rows } = await work();
      assert.equal(changes?.jobs.length, ids.length);
      assert.equal(scans, 0, `${statistics} statistics: no table is read from end to end`);
      assert.ok(rows <= 4 * ids.length, `${statistics} statistics: ${rows} rows read for ${ids.length} changes`);
    }
    await own.close();
  });
});

describe('a database that was dumped and restored into a younger server', () => {
  it('brings ids of transactions that are yet to come here: they are no news, read after read', async () => {
    const ids = await Promise.all(['a', 'b'].map((name) => apply(name)));
    await write('a', { kind: 'patch', layer: 'scaler', patch: { workers: { replicas: 3 } } });
    await db.store.writePlatform({ tenant: 'ads', content: PLATFORM }, ORIGIN);
    for (const table of ['goal_revision', 'scaler_revision', 'platform_revision']) {
      await admin(`alter table bulkhead.${table} disable trigger user`);
      await admin(`update bulkhead.${table} set xid = (pg_current_xact_id()::text::bigint + 1000000)::text::xid8`);
      await admin(`alter table bulkhead.${table} enable trigger user`);
    }
    const reader = await Reader.here();
    const { jobs, platforms } = await reader.next();
    assert.deepEqual([jobs, platforms], [[], []]);
    await apply('b', 'app:2');
    assert.deepEqual(await reader.jobs(), [ids[1]], 'what is written here is found');
  });
});

describe('the jobs that a change of the platform concerns', () => {
  it('are those of the tenant, or all, in the shards asked for, and not removed', async () => {
    const ids = await Promise.all(['a', 'b', 'c'].map((name) => apply(name)));
    await write('c', { kind: 'tombstone' });
    const [other] = await db.store.write(
      [{ job: { tenant: 'web', name: 'a' }, content: { kind: 'spec', spec: { container: { image: 'app:1' } } } }],
      ORIGIN,
    );
    const kept = ids.slice(0, 2);
    const found = async (tenant: string | null, shards = ALL_SHARDS) => new Set(await db.store.jobsOf(tenant, shards));
    assert.deepEqual(await found('ads'), new Set(kept));
    assert.deepEqual(await found(null), new Set([...kept, other?.id]));
    assert.deepEqual(await found('nobody'), new Set());
    const [one] = kept;
    assert.ok(one);
    const same = kept.filter((id) => shardOf(id) === shardOf(one));
    assert.deepEqual(await found('ads', [shardOf(one)]), new Set(same));
    assert.deepEqual(await found('ads', []), new Set());
  });

  it('lie in the shards that the database computes by the same rule as we do', async () => {
    await Promise.all(Array.from({ length: 20 }, (_, n) => apply(`job-${n}`)));
    const rows = await admin<{ id: string; shard: number }>('select id, shard from bulkhead.job');
    assert.equal(rows.length, 20);
    for (const row of rows) assert.equal(shardOf(jobId(row.id)), row.shard);
  });
});
