import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Epoch } from '../../src/job/epoch.ts';
import { type ReplicaId, replicaId, type Shard, shard } from '../../src/job/ids.ts';
import type { Fence } from '../../src/ports/shards.ts';
import { sql, type TestDatabase, testDatabase } from '../support/postgres.ts';

const LONG_MS = 60_000;
const ANN = replicaId('00000000-0000-4000-8000-00000000000a');
const ORIGIN = { author: 'bob', source: 'cli', reason: 'restored from the backup of Monday' } as const;

let db: TestDatabase;
let system: string;

beforeEach(async () => {
  db = await testDatabase();
  system = (await beat())[0]?.epoch.system ?? '';
});
afterEach(() => db[Symbol.asyncDispose]());

const beat = async (id: ReplicaId = ANN) =>
  (await db.store.heartbeat({ id, name: 'test', clusterId: null }, LONG_MS)).fences;
const fenceAt = (...entries: readonly (readonly [number, Partial<Epoch>])[]): ReadonlyMap<Shard, Epoch> =>
  new Map(entries.map(([id, epoch]) => [shard(id), { system, timeline: 1, n: 1, ...epoch }]));

describe('a confirmed fence', () => {
  it('raises each of its shards above store and fence, and owners claim anew', async () => {
    const before = await beat();
    await sql(db.superuserUrl, 'update bulkhead.shard set epoch = 40 where id = 8');
    await db.store.confirmFence({ fences: fenceAt([7, { n: 12 }], [8, { n: 12 }]) }, ORIGIN);
    assert.deepEqual(
      (await db.store.holding(before)).map((fence) => fence.shard),
      before.map((fence) => fence.shard).filter((id) => id !== 7 && id !== 8),
      'what was held before is outdated at once',
    );
    const after = await beat();
    assert.deepEqual([after[7]?.epoch.n, after[8]?.epoch.n], [13, 41]);
    assert.deepEqual(after[9], before[9], 'a shard that the fence says nothing of stays as it is');
  });

  it('is of the epochs that the person saw, of those shards, and said to this database', async () => {
    const found = { system: '4711', timeline: 2, n: 40 };
    const follows = (id: number, part: Partial<Epoch> = {}) => db.store.followsFence(shard(id), { ...found, ...part });
    assert.equal(await follows(1), false);
    await db.store.confirmFence({ fences: fenceAt([1, found], [2, { ...found, n: 50 }]) }, ORIGIN);
    assert.deepEqual([await follows(1), await follows(2)], [true, true]);
    assert.equal(await follows(1, { n: 39, timeline: 1 }), true, 'it was seen along with what came after it');
    assert.equal(await follows(1, { n: 41 }), false, 'the fence has moved on since');
    assert.equal(await follows(1, { timeline: 3 }), false, 'so it has by a promotion');
    assert.equal(await follows(1, { system: '4712' }), false, 'of another database nothing was said');
    assert.equal(await follows(3), false, 'nor of another shard');
    await sql(db.superuserUrl, `alter table bulkhead.fence_confirmation disable trigger all`);
    await sql(db.superuserUrl, `update bulkhead.fence_confirmation set system = '1'`);
    assert.equal(await follows(1), false, 'the word was given to another database');
  });

  it('is for the record: who, why, and what', async () => {
    await db.store.confirmFence({ fences: fenceAt([1, { system: '4711', n: 7 }], [3, {}]) }, ORIGIN);
    assert.deepEqual(
      await sql(db.superuserUrl, 'select system, fences, author, reason from bulkhead.fence_confirmation'),
      [{ system, fences: { 1: '4711/1/7', 3: `${system}/1/1` }, author: ORIGIN.author, reason: ORIGIN.reason }],
    );
  });

  it('needs a reason, and is nothing where there is no fence', async () => {
    const unreasoned = db.store.confirmFence({ fences: fenceAt([1, {}]) }, { ...ORIGIN, reason: null });
    await assert.rejects(unreasoned, { name: 'StoreError', kind: 'invalid', message: /say which/ });
    const before = await beat();
    await db.store.confirmFence({ fences: new Map() }, ORIGIN);
    assert.deepEqual(await beat(), before);
  });
});

describe('what was found ahead of the store', () => {
  const shards = [1, 2, 3].map(shard);
  const at = (fences: readonly Fence[], id: number): Fence => fences.find((f) => f.shard === id) ?? assert.fail();

  it('stays so however often the shards are claimed, until a person confirms it', async () => {
    const fences = await beat();
    const found = { system, timeline: 1, n: 3 };
    await db.store.recordBehind([1, 2].map((id) => ({ fence: at(fences, id), found })));
    for (let n = 0; n < 5; n += 1) {
      await db.store.leave(ANN);
      await beat();
    }
    assert.deepEqual(await db.store.behindShards(shards), fenceAt([1, found], [2, found]));
    assert.deepEqual(await db.store.behindShards([]), new Map());
    await db.store.confirmFence({ fences: fenceAt([1, found]) }, ORIGIN);
    assert.deepEqual(await db.store.behindShards(shards), fenceAt([2, found]), 'each shard by itself');
  });

  it('is the greatest that was found, and costs no write when it is found again', async () => {
    const fence = at(await beat(), 1);
    const find = (part: Partial<Epoch>) =>
      db.store.recordBehind([{ fence, found: { system, timeline: 1, n: 5, ...part } }]);
    const seen = async () => (await db.store.behindShards(shards)).get(shard(1));
    await find({});
    const version = () => sql(db.superuserUrl, 'select ctid, found_at from bulkhead.fence_ahead');
    const before = await version();
    await find({});
    await find({ n: 4 });
    assert.deepEqual(await version(), before);
    await find({ n: 9, system: '4711' });
    assert.deepEqual(await seen(), { system: '4711', timeline: 1, n: 9 });
    await find({ n: 8, timeline: 7 });
    assert.deepEqual(await seen(), { system: '4711', timeline: 1, n: 9 });
  });

  it('is taken from owners only: who was overtaken is told so, and what was found beside it is kept', async () => {
    const fences = await beat();
    const found = { system, timeline: 1, n: 9 };
    await db.store.yieldShards(ANN, [shard(2)]);
    const late = db.store.recordBehind([1, 2].map((id) => ({ fence: at(fences, id), found })));
    await assert.rejects(late, { name: 'StoreError', kind: 'fenced' });
    assert.deepEqual(await db.store.behindShards(shards), fenceAt([1, found]));
    await db.store.recordBehind([]);
  });
});

describe('an epoch', () => {
  it('cannot be lowered or shared, and a shard cannot become another, not even by the owner of the tables', async () => {
    await beat();
    const other = '00000000-0000-4000-8000-00000000000b';
    await sql(db.adminUrl, `insert into bulkhead.replica (id, name, expires_at) values ($1, 'b', 'infinity')`, [other]);
    for (const set of ['epoch = epoch - 1', 'id = id + 1000', `owner = '${other}'`]) {
      await assert.rejects(sql(db.adminUrl, `update bulkhead.shard set ${set} where id = 1`), { code: '23001' }, set);
    }
    await assert.rejects(sql(db.url, 'update bulkhead.shard set epoch = 0 where id = 1'), { code: '23001' });
    for (const denied of ['update bulkhead.shard set id = 1000 where id = 1', 'delete from bulkhead.shard']) {
      await assert.rejects(sql(db.url, denied), { code: '42501' }, denied);
    }
  });
});
