import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import pg from 'pg';
import { clusterId, type JobId, type Revision, replicaId, revision, shardOf } from '../../src/job/ids.ts';
import type { Fence } from '../../src/ports/shards.ts';
import type { BrakeVerdict } from '../../src/ports/store.ts';
import { sql, type TestDatabase, testDatabase, useOwnServer } from '../support/postgres.ts';
import { until } from '../support/until.ts';

const ANN = replicaId('00000000-0000-4000-8000-00000000000a');
const ORIGIN = { author: 'ann', source: 'cli', reason: 'test' } as const;
const LEAST = 3;
const WINDOW_MS = 600_000;

let db: TestDatabase;
let fences: readonly Fence[];

// Transactions are counted.
useOwnServer();

beforeEach(async () => {
  db = await testDatabase();
  ({ fences } = await db.store.heartbeat({ id: ANN, name: 'ann', clusterId: null }, WINDOW_MS));
});
afterEach(() => db[Symbol.asyncDispose]());

const admin = <Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) =>
  sql<Row>(db.superuserUrl, text, values);

interface Removal {
  readonly id: JobId;
  readonly revision: Revision;
}

const nameOf = (n: number) => `job-${String(n).padStart(3, '0')}`;

async function create(count: number): Promise<void> {
  const content = { kind: 'spec', spec: { container: { image: 'app:1' } } } as const;
  const names = Array.from({ length: count }, (_, n) => nameOf(n));
  await db.store.write(
    names.map((name) => ({ job: { tenant: 'ads', name }, content })),
    ORIGIN,
  );
}

/** Removes the first ones of them. */
async function remove(count: number, from = 0): Promise<Removal[]> {
  const receipts = await db.store.write(
    Array.from({ length: count }, (_, n) => ({
      job: { tenant: 'ads', name: nameOf(from + n) },
      content: { kind: 'tombstone' } as const,
    })),
    ORIGIN,
  );
  return receipts.map((receipt) => {
    assert.ok(receipt.id && receipt.revision);
    return { id: receipt.id, revision: receipt.revision };
  });
}

function fenceOf(id: JobId): Fence {
  const fence = fences.find(({ shard }) => shard === shardOf(id));
  assert.ok(fence);
  return fence;
}

const reserve = (removal: Removal | undefined): Promise<BrakeVerdict> => {
  assert.ok(removal);
  return db.store.reserveRemoval(fenceOf(removal.id), removal.id, removal.revision);
};

/** One after the other. */
async function kinds(removals: readonly Removal[]): Promise<string[]> {
  const all: string[] = [];
  for (const removal of removals) all.push((await reserve(removal)).kind);
  return all;
}

const times = (n: number, kind: BrakeVerdict['kind']) => new Array<string>(n).fill(kind);
/** Lets so many grants, the oldest first, lie as long ago as the window is wide. */
const lapse = (count: number) =>
  admin(
    `update bulkhead.removal set granted_at = granted_at - interval '${WINDOW_MS} ms' where job_id in
       (select job_id from bulkhead.removal where granted_at is not null order by granted_at limit $1)`,
    [count],
  );
const waiting = async () => (await db.store.brakeState()).waiting.map(({ name }) => name);

describe('the brake', () => {
  it('lets three removals go in ten minutes however few cells there are, and the others wait', async () => {
    await create(6);
    const removals = await remove(6);
    assert.deepEqual(await kinds(removals), [...times(LEAST, 'granted'), ...times(3, 'braked')]);
    const state = await db.store.brakeState();
    assert.deepEqual(
      { ...state, waiting: state.waiting.map(({ name }) => name) },
      { budget: LEAST, windowMs: WINDOW_MS, used: LEAST, waiting: [3, 4, 5].map(nameOf), lastRelease: null },
    );
  });

  it('lets 5 % of all cells go where that is more; a cell counts until it was seen to be gone', async () => {
    await create(105);
    const removals = await remove(10);
    assert.equal((await db.store.brakeState()).budget, 5);
    assert.deepEqual(await kinds(removals), [...times(5, 'granted'), ...times(5, 'braked')]);
    for (const { id, revision } of removals.slice(0, 5)) {
      await db.store.record(fenceOf(id), {
        events: [],
        status: {
          jobId: id,
          observedRevision: revision,
          observedPlatform: { all: 0, tenant: 0 },
          clusterId: clusterId('aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa'),
          phase: 'Gone',
          conditions: [],
          workers: { desired: 0, ready: 0, restarts: 0 },
          cell: 'cell',
          tier: 'namespace',
          next: [],
        },
      });
    }
    assert.equal((await db.store.brakeState()).budget, 5, '100 are left');
    await admin(`update bulkhead.job set removed_at = null where name = '${nameOf(9)}'`);
    await admin(`delete from bulkhead.observation`);
    assert.equal((await db.store.brakeState()).budget, 5, '105 again');
  });

  it('says the same when asked again, and a grant stays one however late', async () => {
    await create(5);
    const removals = await remove(5);
    const first = await kinds(removals);
    assert.deepEqual(await kinds(removals), first);
    assert.equal((await db.store.brakeState()).used, LEAST, 'asking costs nothing');
    await lapse(LEAST);
    assert.deepEqual(await kinds(removals.slice(0, LEAST)), times(LEAST, 'granted'));
    assert.deepEqual(await kinds(removals.slice(LEAST)), times(2, 'granted'), 'there is room again');
  });

  it('names when the oldest grant lapses, since there is room then', async () => {
    await create(4);
    const removals = await remove(4);
    await kinds(removals);
    const [oldest] = await admin<{ at: Date }>('select min(granted_at) as at from bulkhead.removal');
    const verdict = await reserve(removals[3]);
    assert.ok(verdict.kind === 'braked' && oldest);
    assert.equal(verdict.until.getTime() - oldest.at.getTime(), WINDOW_MS);
    assert.equal(verdict.budget, LEAST);
  });

  it('serves first who asked first, whoever asks when there is room', async () => {
    await create(7);
    const removals = await remove(7);
    await kinds(removals.slice(0, 6));
    await lapse(2);
    assert.equal((await reserve(removals[5])).kind, 'braked', 'two asked before it');
    assert.equal((await reserve(removals[6])).kind, 'braked', 'and so they did before one that is new');
    assert.deepEqual(await waiting(), [5, 6].map(nameOf));
    assert.deepEqual(await kinds(removals.slice(3, 5)), times(2, 'granted'));
  });

  it('forgets a removal that was taken back: it neither waits nor takes a place', async () => {
    await create(6);
    const removals = await remove(6);
    await kinds(removals);
    await create(4);
    assert.deepEqual(await waiting(), [4, 5].map(nameOf), 'the fourth is wanted again');
    assert.equal((await reserve(removals[3])).kind, 'braked', 'and who has not heard of it may not remove it');
    await lapse(1);
    assert.deepEqual(await kinds(removals.slice(4)), ['granted', 'braked']);
    assert.equal((await reserve(removals[3])).kind, 'braked');
  });

  it('counts one removal of a job whose goal changes while it waits', async () => {
    await create(4);
    const removals = await remove(4);
    await kinds(removals);
    const [last] = removals.slice(-1);
    assert.ok(last);
    await admin('update bulkhead.goal_head set revision = revision + 1 where job_id = $1', [last.id]);
    const renewed = { id: last.id, revision: revision(last.revision + 1) };
    assert.equal((await reserve(renewed)).kind, 'braked');
    assert.deepEqual(await waiting(), [nameOf(3)]);
    await lapse(1);
    assert.equal((await reserve(renewed)).kind, 'granted');
    assert.deepEqual(await waiting(), []);
  });

  it('takes tier moves from the same budget', async () => {
    await create(5);
    const ids = await Promise.all(
      [0, 1, 2, 3].map(async (n) => (await db.store.find({ tenant: 'ads', name: nameOf(n) }))?.job.id),
    );
    const moves = ids.map((id) => {
      assert.ok(id);
      return { id, revision: revision(1) };
    });
    assert.deepEqual(await kinds(moves), [...times(LEAST, 'granted'), 'braked']);
    assert.deepEqual(await waiting(), [nameOf(3)]);
  });

  it('grants no more than the budget to many who ask at the same time', async () => {
    await create(40);
    const removals = await remove(40);
    // The first one makes the others find the cells counted, so that they all come to the decision at once.
    assert.equal((await reserve(removals[0])).kind, 'granted');
    await Promise.all(removals.slice(1).map(reserve));
    const verdicts = await kinds(removals);
    assert.equal(verdicts.filter((kind) => kind === 'granted').length, LEAST);
    assert.equal((await db.store.brakeState()).waiting.length, 40 - LEAST);
  });

  it('decides one after the other: what another decision has not yet said may change the answer', async () => {
    await create(2);
    const [first, second] = await remove(2);
    assert.ok(first && second);
    assert.equal((await reserve(first)).kind, 'granted');
    const other = new pg.Client({ connectionString: db.superuserUrl });
    await other.connect();
    await other.query('begin');
    await other.query('select from bulkhead.brake for update');
    await other.query(
      `insert into bulkhead.removal (job_id, revision, granted_at) select $1, generate_series(10, 12), clock_timestamp()`,
      [first.id],
    );
    const verdict = reserve(second);
    await until('the decision waits', 5_000, async () => {
      const waiting = `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`;
      return (await admin(waiting)).length > 0;
    });
    await other.query('commit');
    await other.end();
    assert.equal((await verdict).kind, 'braked');
  });

  it('leaves no trace of those who ask again while nothing can be granted, also when the cells are to be counted anew', async () => {
    await create(5);
    const removals = await remove(5);
    await kinds(removals);
    const nextXid = async () =>
      (await admin<{ xid: string }>('select pg_snapshot_xmax(pg_current_snapshot())::text as xid'))[0]?.xid;
    const isLeftAlone = async (what: string) => {
      await admin(`update bulkhead.brake set counted_at = '-infinity'`);
      const before = await nextXid();
      const verdicts = await kinds([...removals.slice(LEAST), ...removals]);
      assert.equal(await nextXid(), before, what);
      assert.deepEqual(await admin(`select from bulkhead.brake where counted_at > '-infinity'`), [], what);
      return verdicts;
    };
    const asBefore = [...times(2, 'braked'), ...times(LEAST, 'granted'), ...times(2, 'braked')];
    assert.deepEqual(await isLeftAlone('used up'), asBefore);
    await lapse(LEAST);
    await create(5);
    assert.deepEqual(await isLeftAlone('nobody waits: all are wanted again'), asBefore);
  });

  it('listens only to who holds the shard', async () => {
    await create(1);
    const [removal] = await remove(1);
    assert.ok(removal);
    const fence = fenceOf(removal.id);
    const outdated = { ...fence, epoch: { ...fence.epoch, n: fence.epoch.n + 1 } };
    const fenced = { name: 'StoreError', kind: 'fenced' };
    await assert.rejects(db.store.reserveRemoval(outdated, removal.id, removal.revision), fenced);
    const other = fences.find(({ shard }) => shard !== fence.shard);
    assert.ok(other);
    await assert.rejects(db.store.reserveRemoval(other, removal.id, removal.revision), fenced);
    assert.deepEqual(await admin('select from bulkhead.removal'), []);
  });
});

describe('a release of the brake', () => {
  it('lets all go that wait by then, for a reason that is kept; later ones wait again', async () => {
    await create(9);
    const removals = await remove(8);
    await kinds(removals.slice(0, 7));
    assert.equal(await db.store.releaseBrake({ ...ORIGIN, reason: 'the ads team is gone' }), 4);
    assert.deepEqual(await kinds(removals), [...times(7, 'granted'), 'braked']);
    const { lastRelease, used } = await db.store.brakeState();
    assert.equal(used, 7);
    assert.deepEqual([lastRelease?.author, lastRelease?.reason], ['ann', 'the ads team is gone']);
    const kept = await admin('select author, reason, released from bulkhead.brake_release');
    assert.deepEqual(kept, [{ author: 'ann', reason: 'the ads team is gone', released: 4 }]);
    assert.equal(await db.store.releaseBrake({ ...ORIGIN, reason: 'again' }), 1);
  });

  it('is told to those who wait', async () => {
    const listener = new pg.Client({ connectionString: db.superuserUrl });
    await listener.connect();
    await listener.query('listen bulkhead_goal');
    const told = new Promise((resolve) => listener.once('notification', ({ payload }) => resolve(payload)));
    await db.store.releaseBrake({ ...ORIGIN, reason: 'test' });
    assert.equal(await told, 'brake');
    await listener.end();
  });
});
