import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { clusterId, epoch, type JobId, revision } from '../../src/job/ids.ts';
import type { JobStatus, Phase } from '../../src/job/status.ts';
import type { Fence, GoalChange, JobEvent, KnownCluster } from '../../src/ports/store.ts';
import type { Store } from '../../src/store/open.ts';
import { sql, type TestDatabase, testDatabase } from '../support/postgres.ts';

const ORIGIN = { author: 'ann', source: 'cli', reason: null } as const;
const CLUSTER = clusterId('aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa');
const OTHER_CLUSTER = clusterId('bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb');
const LONG_MS = 60_000;

const apply = (name: string): GoalChange => ({
  job: { tenant: 'ads', name },
  content: { kind: 'spec', spec: { container: { image: 'app:1' } } },
});
const remove = (name: string): GoalChange => ({ job: { tenant: 'ads', name }, content: { kind: 'tombstone' } });

const statusOf = (jobId: JobId, at: number, phase: Phase, message = 'well'): JobStatus => ({
  jobId,
  observedRevision: revision(at),
  clusterId: CLUSTER,
  phase,
  conditions: [
    { type: 'Ready', status: 'Unknown', reason: 'Test', message, lastTransitionTime: '2026-01-01T00:00:00.000Z' },
  ],
  workers: { desired: 2, ready: 1, restarts: 0 },
  cell: 'cell-of-it',
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

async function lead(owner = 'a', ttlMs = LONG_MS): Promise<Fence> {
  const fence = await store.acquire(owner, ttlMs);
  assert.ok(fence, `${owner} gets the lease`);
  return fence;
}

describe('the lease', () => {
  it('has one holder, who renews it under the same epoch', async () => {
    assert.deepEqual(await lead('a'), { owner: 'a', epoch: 1 });
    assert.equal(await store.acquire('b', LONG_MS), null);
    assert.deepEqual(await lead('a'), { owner: 'a', epoch: 1 });
  });

  it('is taken over only after its end by the clock of the database, under a higher epoch', async () => {
    await lead('a', 400);
    assert.equal(await store.acquire('b', LONG_MS), null);
    await sql(db.url, `select pg_sleep_until(expires_at - interval '100 ms') from bulkhead.shard`);
    assert.equal(await store.acquire('b', LONG_MS), null, 'not a moment early');
    await sql(db.url, 'select pg_sleep_until(expires_at) from bulkhead.shard');
    assert.deepEqual(await lead('b'), { owner: 'b', epoch: 2 });
    assert.equal(await store.acquire('a', LONG_MS), null, 'the former holder has to stop');
  });

  it('that has ended stays with its holder under the same epoch while nobody else wants it', async () => {
    await lead('a', 1);
    await sleep(20);
    assert.deepEqual(await lead('a'), { owner: 'a', epoch: 1 });
  });

  it('that is given up is free at once, and its fence is worth nothing any more', async () => {
    const id = await create('given-up');
    const fence = await lead('a');
    await store.release(fence);
    await assert.rejects(store.record(fence, { status: statusOf(id, 1, 'Running'), events: [] }), { kind: 'fenced' });
    assert.deepEqual(await lead('b'), { owner: 'b', epoch: 2 });
    await store.release(fence);
    assert.equal(await store.acquire('c', LONG_MS), null, 'a late release does not end the lease of another');
  });

  it('goes to one of many who want it at the same time', async () => {
    const fences = await Promise.all(['a', 'b', 'c', 'd'].map((owner) => store.acquire(owner, LONG_MS)));
    assert.equal(fences.filter((fence) => fence !== null).length, 1);
  });

  it('is renewed while a fenced write is under way, but not taken over, so that no old write lands after it', async () => {
    const fence = await lead('a', 200);
    const writer = new pg.Client({ connectionString: db.url });
    await writer.connect();
    await writer.query('begin');
    await writer.query('select from bulkhead.shard where epoch = $1 for key share', [fence.epoch]);
    assert.deepEqual(await lead('a', 200), fence, 'a renewal does not wait');
    await sleep(250);
    let taken = false;
    const takeover = store.acquire('b', LONG_MS).then((fence) => {
      taken = true;
      return fence;
    });
    await sleep(200);
    assert.equal(taken, false, 'a takeover waits for the write');
    await writer.query('commit');
    await writer.end();
    assert.deepEqual(await takeover, { owner: 'b', epoch: 2 });
  });
});

describe('an operator that was overtaken', () => {
  it('can write nothing any more: no status, no event, no cluster', async () => {
    const id = await create('contested');
    const old = await lead('a', 1);
    await sleep(20);
    const fence = await lead('b');
    await store.record(fence, { status: statusOf(id, 1, 'Running'), events: [] });
    await store.recordCluster(fence, clusterOf(CLUSTER, 'https://new'));
    for (const outdated of [old, { owner: 'a', epoch: fence.epoch }, { owner: 'b', epoch: epoch(9) }]) {
      const fenced = { name: 'StoreError', kind: 'fenced' };
      await assert.rejects(store.record(outdated, { status: statusOf(id, 1, 'Degraded'), events: [] }), fenced);
      await assert.rejects(store.record(outdated, { status: null, events: [eventOf(id, 'late')] }), fenced);
      await assert.rejects(store.recordCluster(outdated, clusterOf(OTHER_CLUSTER, 'https://old')), fenced);
    }
    assert.equal((await store.statuses([id]))[0]?.status.phase, 'Running');
    assert.deepEqual(await store.events({ limit: 10 }), []);
    assert.equal((await store.currentCluster())?.server, 'https://new');
  });
});

describe('status', () => {
  it('comes back as it was saved, is replaced, and is found by job or for all', async () => {
    const fence = await lead();
    const [a, b] = [await create('a'), await create('b')];
    await store.record(fence, { status: statusOf(a, 1, 'Pending'), events: [] });
    await store.record(fence, { status: statusOf(a, 1, 'Running'), events: [] });
    await store.record(fence, { status: statusOf(b, 1, 'Degraded'), events: [] });
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
    await store.record(fence, {
      status: statusOf(id, 1, 'Degraded', 'nul \0 half \ud800 backslash \\u0000'),
      events: [],
    });
    await store.record(fence, { status: null, events: [eventOf(id, 'nul \0 half \ud800')] });
    const [saved] = await store.statuses([id]);
    assert.equal(saved?.status.conditions[0]?.message, 'nul \ufffd half \ufffd backslash \\u0000');
    assert.equal((await store.events({ limit: 1 }))[0]?.message, 'nul \ufffd half \ufffd');
  });

  it('is disposable: jobs that are gone drop out of the heads, and come back when every observation is lost', async () => {
    const fence = await lead();
    const [kept, removed] = [await create('kept'), await create('removed')];
    const heads = async () => new Set((await store.heads()).map((h) => h.jobId));
    await store.write([remove('removed')], ORIGIN);
    await store.record(fence, { status: statusOf(kept, 1, 'Gone'), events: [] });
    assert.deepEqual(await heads(), new Set([kept, removed]), 'only a tombstone lets a job drop out');
    await store.record(fence, { status: statusOf(removed, 1, 'Gone'), events: [] });
    assert.deepEqual(await heads(), new Set([kept, removed]), 'gone before it was removed says nothing');
    await store.record(fence, { status: statusOf(removed, 2, 'Deleting'), events: [] });
    assert.deepEqual(await heads(), new Set([kept, removed]), 'its cell is still there');
    await store.record(fence, { status: statusOf(removed, 2, 'Gone'), events: [] });
    assert.deepEqual(await heads(), new Set([kept]));
    await sql(db.url, 'delete from bulkhead.observation');
    assert.deepEqual(await heads(), new Set([kept, removed]), 'what was seen is seen again');
  });
});

describe('events', () => {
  it('are kept in order, found by job and by tenant, and only the newest are given', async () => {
    const fence = await lead();
    const [a, b] = [await create('a'), await create('b')];
    await store.record(fence, { status: null, events: [eventOf(a, 'one'), eventOf(b, 'two'), eventOf(a, 'three')] });
    await store.record(fence, { status: null, events: [] });
    const messages = async (filter: Parameters<Store['events']>[0]) =>
      (await store.events(filter)).map((e) => e.message);
    assert.deepEqual(await messages({ limit: 10 }), ['one', 'two', 'three']);
    assert.deepEqual(await messages({ limit: 2 }), ['two', 'three']);
    assert.deepEqual(await messages({ jobId: a, limit: 10 }), ['one', 'three']);
    assert.deepEqual(await messages({ tenant: 'ads', limit: 1 }), ['three']);
    assert.deepEqual(await messages({ tenant: 'nobody', limit: 10 }), []);
    assert.deepEqual((await store.events({ limit: 1 }))[0]?.job, { id: a, tenant: 'ads', name: 'a' });
  });

  it('cannot be edited or deleted: the database refuses', async () => {
    for (const statement of [
      `update bulkhead.event set message = ''`,
      'delete from bulkhead.event',
      'truncate bulkhead.event',
    ]) {
      await assert.rejects(sql(db.url, statement), { code: '23001' }, statement);
    }
  });
});

describe('the cluster', () => {
  it('is none on a new store, then the one recorded last; former ones stay in the history', async () => {
    const fence = await lead();
    assert.equal(await store.currentCluster(), null);
    await store.recordCluster(fence, clusterOf(CLUSTER, 'https://one'));
    await store.recordCluster(fence, { ...clusterOf(CLUSTER, 'https://one:2'), caCertificate: 'PEM' });
    assert.deepEqual(await store.currentCluster(), { ...clusterOf(CLUSTER, 'https://one:2'), caCertificate: 'PEM' });
    await store.recordCluster(fence, clusterOf(OTHER_CLUSTER, 'https://two'));
    assert.deepEqual(await store.currentCluster(), clusterOf(OTHER_CLUSTER, 'https://two'));
    const history = await sql(db.url, 'select id from bulkhead.cluster order by first_seen_at');
    assert.deepEqual(history, [{ id: CLUSTER }, { id: OTHER_CLUSTER }]);
  });
});
