import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import pg from 'pg';
import {
  clusterId,
  type JobId,
  type ReplicaId,
  replicaId,
  revision,
  type Shard,
  shard,
  shardOf,
} from '../../src/job/ids.ts';
import type { JobStatus, Phase } from '../../src/job/status.ts';
import type { Fence } from '../../src/ports/shards.ts';
import type { GoalChange, JobEvent, KnownCluster } from '../../src/ports/store.ts';
import type { Store } from '../../src/store/open.ts';
import { sql, type TestDatabase, testDatabase } from '../support/postgres.ts';
import { until } from '../support/until.ts';

const ORIGIN = { author: 'ann', source: 'cli', reason: null } as const;
const CLUSTER = clusterId('aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa');
const OTHER_CLUSTER = clusterId('bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb');
const LONG_MS = 60_000;
const ANN = replicaId('00000000-0000-4000-8000-00000000000a');
const BOB = replicaId('00000000-0000-4000-8000-00000000000b');

const apply = (name: string): GoalChange => ({
  job: { tenant: 'ads', name },
  content: { kind: 'spec', spec: { container: { image: 'app:1' } } },
});
const remove = (name: string): GoalChange => ({ job: { tenant: 'ads', name }, content: { kind: 'tombstone' } });

const statusOf = (jobId: JobId, at: number, phase: Phase, message = 'well'): JobStatus => ({
  jobId,
  observedRevision: revision(at),
  observedPlatform: { all: 0, tenant: 0 },
  clusterId: CLUSTER,
  phase,
  conditions: [
    { type: 'Ready', status: 'Unknown', reason: 'Test', message, lastTransitionTime: '2026-01-01T00:00:00.000Z' },
  ],
  workers: { desired: 2, ready: 1, restarts: 0 },
  cell: 'cell-of-it',
  tier: 'namespace',
  next: [{ action: 'wait', why: 'for the test' }],
});
const eventOf = (jobId: JobId, message: string): JobEvent => ({
  jobId,
  revision: revision(1),
  type: 'Normal',
  reason: 'Test',
  message,
});
const clusterOf = (id: KnownCluster['id'], server: string): KnownCluster => ({
  id,
  contextName: 'kind-test',
  server,
  caCertificate: null,
});

let db: TestDatabase;
let store: Store;

beforeEach(async () => {
  db = await testDatabase();
  store = db.store;
});
afterEach(() => db[Symbol.asyncDispose]());

async function create(name: string): Promise<JobId> {
  const [receipt] = await store.write([apply(name)], ORIGIN);
  assert.ok(receipt?.id);
  return receipt.id;
}

/** All shards for one replica. @returns its fence for a shard */
async function lead(replica: ReplicaId = ANN): Promise<(of: Shard) => Fence> {
  const { fences } = await store.heartbeat({ id: replica, name: 'test', clusterId: null }, LONG_MS);
  assert.equal(fences.length, 256);
  return (of) => {
    const fence = fences.find((f) => f.shard === of);
    assert.ok(fence);
    return fence;
  };
}

const expire = (replica: ReplicaId) =>
  sql(db.superuserUrl, `update bulkhead.replica set expires_at = clock_timestamp() where id = $1`, [replica]);

describe('what a turn came to', () => {
  it('is stored by looking at its job alone, however many jobs and events there are', async () => {
    const [JOBS, TURNS, EVENTS] = [1_000, 30, 9];
    const receipts = await store.write(
      Array.from({ length: JOBS }, (_, i) => apply(`job-${i}`)),
      ORIGIN,
    );
    const fenceOf = await lead();
    const read = async (): Promise<{ scanned: number; fetched: number }> => {
      const [row] = await sql<{ scanned: string; fetched: string }>(
        db.superuserUrl,
        `select seq_tup_read as scanned, idx_tup_fetch as fetched from pg_stat_user_tables where relname = 'job'`,
      );
      return { scanned: Number(row?.scanned), fetched: Number(row?.fetched) };
    };
    const before = await read();
    for (const { id } of receipts.slice(0, TURNS)) {
      assert.ok(id);
      const events = Array.from({ length: EVENTS }, (_, i) => eventOf(id, `written ${i}`));
      await store.record(fenceOf(shardOf(id)), { status: statusOf(id, 1, 'Progressing'), events });
    }
    // Servers hand in what they have read a second late.
    await until('the reads are counted', 10_000, async () => (await read()).fetched - before.fetched >= TURNS);
    const { scanned } = await read();
    assert.ok(
      scanned - before.scanned < 5 * JOBS,
      `${scanned - before.scanned} rows of jobs were read one after the other`,
    );
  });
});

describe('a replica that was overtaken', () => {
  it('can write nothing any more: no status, no event, no cluster', async () => {
    const id = await create('contested');
    const of = shardOf(id);
    const old = await lead(ANN);
    await expire(ANN);
    const now = await lead(BOB);
    const { epoch } = now(of);
    assert.equal(epoch.n, old(of).epoch.n + 1);
    await store.record(now(of), { status: statusOf(id, 1, 'Running'), events: [] });
    await store.recordCluster(now(shard(0)), clusterOf(CLUSTER, 'https://new'));
    const outdated: Record<string, Partial<Fence>> = {
      'of before': old(of),
      'of before with the new number': { replica: ANN },
      'with a number that was never given': { epoch: { ...epoch, n: 9 } },
      'of another database': { epoch: { ...epoch, system: '1' } },
      'of before a promotion': { epoch: { ...epoch, timeline: epoch.timeline + 1 } },
    };
    const fenced = { name: 'StoreError', kind: 'fenced' };
    for (const [which, part] of Object.entries(outdated)) {
      const fence = { ...now(of), ...part };
      await assert.rejects(store.record(fence, { status: statusOf(id, 1, 'Degraded'), events: [] }), fenced, which);
      await assert.rejects(store.record(fence, { status: null, events: [eventOf(id, 'late')] }), fenced, which);
      const forZero = { ...now(shard(0)), ...part, shard: shard(0) };
      await assert.rejects(store.recordCluster(forZero, clusterOf(OTHER_CLUSTER, 'https://old')), fenced, which);
    }
    assert.equal((await store.statuses([id]))[0]?.status.phase, 'Running');
    assert.deepEqual(await store.events({ limit: 10 }), []);
    assert.equal((await store.currentCluster())?.server, 'https://new');
  });

  it('keeps a successor from the shard of a write that is under way, and from no other, until it has landed', async () => {
    const id = await create('in-hand');
    const fence = (await lead(ANN))(shardOf(id));
    await store.record(fence, { status: statusOf(id, 1, 'Pending'), events: [] });
    const locker = new pg.Client({ connectionString: db.superuserUrl });
    await locker.connect();
    await locker.query('begin');
    await locker.query('select from bulkhead.observation where job_id = $1 for update', [id]);
    const underWay = store.record(fence, { status: statusOf(id, 1, 'Running'), events: [] });
    await until('the write waits', 5_000, async () => {
      const waiting = await sql(
        db.superuserUrl,
        `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
      );
      return waiting.length > 0;
    });
    await expire(ANN);
    const beat = () => store.heartbeat({ id: BOB, name: 'bob', clusterId: null }, LONG_MS);
    const standing = await beat();
    assert.equal(standing.fences.length, 255);
    assert.ok(!standing.fences.some((f) => f.shard === fence.shard));
    await locker.query('rollback');
    await locker.end();
    await underWay;
    assert.equal((await store.statuses([id]))[0]?.status.phase, 'Running', 'what was let in before is stored');
    assert.equal((await beat()).fences.length, 256);
    await assert.rejects(store.record(fence, { status: statusOf(id, 1, 'Degraded'), events: [] }), { kind: 'fenced' });
  });
});

describe('a fence', () => {
  it('is good for the jobs of its own shard only, and only that of shard 0 for the cluster', async () => {
    const fence = await lead();
    const ids = await Promise.all(['a', 'b', 'c', 'd'].map(create));
    const [id] = ids;
    const other = ids.find((o) => id && shardOf(o) !== shardOf(id));
    assert.ok(id && other);
    const wrong = fence(shardOf(other));
    await assert.rejects(store.record(wrong, { status: statusOf(id, 1, 'Running'), events: [] }), { kind: 'fenced' });
    const mixed = { status: statusOf(other, 1, 'Running'), events: [eventOf(other, 'mine'), eventOf(id, 'not mine')] };
    await assert.rejects(store.record(wrong, mixed), { kind: 'fenced' });
    assert.deepEqual([await store.statuses(), await store.events({ limit: 10 })], [[], []], 'all of it or nothing');
    const cluster = store.recordCluster(fence(shard(1)), clusterOf(CLUSTER, 'https://one'));
    await assert.rejects(cluster, { kind: 'fenced' });
    assert.equal(await store.currentCluster(), null);
  });
});

describe('status', () => {
  it('comes back as it was saved, is replaced, and is found by job or for all', async () => {
    const fence = await lead();
    const [a, b] = [await create('a'), await create('b')];
    await store.record(fence(shardOf(a)), { status: statusOf(a, 1, 'Pending'), events: [] });
    await store.record(fence(shardOf(a)), { status: statusOf(a, 1, 'Running'), events: [] });
    await store.record(fence(shardOf(b)), { status: statusOf(b, 1, 'Degraded'), events: [] });
    assert.deepEqual(
      (await store.statuses([a])).map((s) => s.status),
      [statusOf(a, 1, 'Running')],
    );
    assert.equal((await store.statuses()).length, 2);
    assert.deepEqual(await store.statuses([]), []);
  });

  it('is saved whatever a container said: text that Postgres cannot hold is mended, not refused', async () => {
    const id = await create('odd');
    const fence = await lead();
    await store.record(fence(shardOf(id)), {
      status: statusOf(id, 1, 'Degraded', 'nul \0 half \ud800 backslash \\u0000'),
      events: [],
    });
    await store.record(fence(shardOf(id)), { status: null, events: [eventOf(id, 'nul \0 half \ud800')] });
    const [saved] = await store.statuses([id]);
    assert.equal(saved?.status.conditions[0]?.message, 'nul \ufffd half \ufffd backslash \\u0000');
    assert.equal((await store.events({ limit: 1 }))[0]?.message, 'nul \ufffd half \ufffd');
  });

  it('is disposable: jobs that are gone drop out of the heads, and come back when every observation is lost', async () => {
    const fence = await lead();
    const [kept, removed] = [await create('kept'), await create('removed')];
    const heads = async () => new Set((await store.heads()).map((h) => h.jobId));
    await store.write([remove('removed')], ORIGIN);
    await store.record(fence(shardOf(kept)), { status: statusOf(kept, 1, 'Gone'), events: [] });
    assert.deepEqual(await heads(), new Set([kept, removed]), 'only a tombstone lets a job drop out');
    await store.record(fence(shardOf(removed)), { status: statusOf(removed, 1, 'Gone'), events: [] });
    assert.deepEqual(await heads(), new Set([kept, removed]), 'gone before it was removed says nothing');
    await store.record(fence(shardOf(removed)), { status: statusOf(removed, 2, 'Deleting'), events: [] });
    assert.deepEqual(await heads(), new Set([kept, removed]), 'its cell is still there');
    await store.record(fence(shardOf(removed)), { status: statusOf(removed, 2, 'Gone'), events: [] });
    assert.deepEqual(await heads(), new Set([kept]));
    await sql(db.superuserUrl, 'delete from bulkhead.observation');
    assert.deepEqual(await heads(), new Set([kept, removed]), 'what was seen is seen again');
  });
});

describe('events', () => {
  it('are kept in order, found by job and by tenant, and only the newest are given', async () => {
    const fence = await lead();
    const [a, b] = [await create('a'), await create('b')];
    const tell = (id: JobId, ...messages: string[]) =>
      store.record(fence(shardOf(id)), { status: null, events: messages.map((message) => eventOf(id, message)) });
    await tell(a, 'one');
    await tell(b, 'two');
    await tell(a, 'three', 'four');
    await tell(a);
    const messages = async (filter: Parameters<Store['events']>[0]) =>
      (await store.events(filter)).map((e) => e.message);
    assert.deepEqual(await messages({ limit: 10 }), ['one', 'two', 'three', 'four']);
    assert.deepEqual(await messages({ limit: 2 }), ['three', 'four']);
    assert.deepEqual(await messages({ jobId: a, limit: 10 }), ['one', 'three', 'four']);
    assert.deepEqual(await messages({ tenant: 'ads', limit: 1 }), ['four']);
    assert.deepEqual(await messages({ tenant: 'nobody', limit: 10 }), []);
    assert.deepEqual((await store.events({ limit: 1 }))[0]?.job, { id: a, tenant: 'ads', name: 'a' });
  });

  it('cannot be edited or deleted: the database refuses', async () => {
    const id = await create('told');
    await store.record((await lead())(shardOf(id)), { status: null, events: [eventOf(id, 'said')] });
    for (const statement of [
      `update bulkhead.event set message = ''`,
      'delete from bulkhead.event',
      'truncate bulkhead.event',
    ]) {
      await assert.rejects(sql(db.superuserUrl, statement), { code: '23001' }, statement);
    }
  });
});

describe('the cluster', () => {
  it('is none on a new store, then the one recorded last; former ones stay in the history', async () => {
    const fence = (await lead())(shard(0));
    assert.equal(await store.currentCluster(), null);
    await store.recordCluster(fence, clusterOf(CLUSTER, 'https://one'));
    await store.recordCluster(fence, { ...clusterOf(CLUSTER, 'https://one:2'), caCertificate: 'PEM' });
    assert.deepEqual(await store.currentCluster(), { ...clusterOf(CLUSTER, 'https://one:2'), caCertificate: 'PEM' });
    await store.recordCluster(fence, clusterOf(OTHER_CLUSTER, 'https://two'));
    assert.deepEqual(await store.currentCluster(), clusterOf(OTHER_CLUSTER, 'https://two'));
    const history = await sql(db.superuserUrl, 'select id from bulkhead.cluster order by first_seen_at');
    assert.deepEqual(history, [{ id: CLUSTER }, { id: OTHER_CLUSTER }]);
  });

  it('that a person accepts is one until it is recorded, and the last word counts', async () => {
    const THIRD = clusterId('cccccccc-cccc-4ccc-8ccc-cccccccccccc');
    const fence = (await lead())(shard(0));
    const accept = (id: KnownCluster['id']) => store.acceptCluster(id, ORIGIN);
    assert.equal(await store.acceptedCluster(), null);
    await store.recordCluster(fence, clusterOf(CLUSTER, 'https://one'));
    await accept(THIRD);
    await accept(OTHER_CLUSTER);
    assert.equal(await store.acceptedCluster(), OTHER_CLUSTER);
    await store.recordCluster(fence, clusterOf(CLUSTER, 'https://one:2'));
    assert.equal(await store.acceptedCluster(), OTHER_CLUSTER, 'the former one only got another address');
    await assert.rejects(store.recordCluster({ ...fence, replica: BOB }, clusterOf(OTHER_CLUSTER, 'https://two')));
    assert.equal(await store.acceptedCluster(), OTHER_CLUSTER, 'nothing was recorded');
    await store.recordCluster(fence, clusterOf(OTHER_CLUSTER, 'https://two'));
    assert.equal(await store.acceptedCluster(), null);
    await accept(CLUSTER);
    await store.recordCluster(fence, clusterOf(THIRD, 'https://three'));
    assert.equal(await store.acceptedCluster(), null, 'a word about another state of things');
  });
});

describe('the head of a job', () => {
  it('only moves on: neither pointed back nor taken away, not even by the owner of the tables', async () => {
    const id = await create('kept');
    const again: GoalChange = { ...apply('kept'), content: { kind: 'spec', spec: { container: { image: 'app:2' } } } };
    await store.write([again], ORIGIN);
    for (const url of [db.url, db.adminUrl]) {
      for (const set of [
        'revision = 1, job_revision = 1',
        'job_revision = 1',
        'revision = revision',
        'revision = 3, job_revision = 1',
      ]) {
        await assert.rejects(
          sql(url, `update bulkhead.goal_head set ${set} where job_id = $1`, [id]),
          { code: '23001' },
          set,
        );
      }
    }
    for (const statement of ['delete from bulkhead.goal_head', 'truncate bulkhead.goal_head']) {
      await assert.rejects(sql(db.adminUrl, statement), { code: '23001' }, statement);
    }
    assert.equal((await store.find({ tenant: 'ads', name: 'kept' }))?.revision, 2);
  });
});
