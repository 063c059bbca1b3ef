import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Epoch } from '../../src/job/epoch.ts';
import { type ReplicaId, replicaId, type Shard, shard } from '../../src/job/ids.ts';
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

  it('is for the record: who, why, and which database follows which', async () => {
    assert.equal(await db.store.followsSystem('4711'), false);
    await db.store.confirmFence({ fences: fenceAt([1, { system: '4711' }], [2, { system: '4711' }], [3, {}]) }, ORIGIN);
    assert.equal(await db.store.followsSystem('4711'), true);
    assert.equal(await db.store.followsSystem('4712'), false);
    const rows = await sql(
      db.superuserUrl,
      'select system, follows, author, reason from bulkhead.fence_confirmation order by follows',
    );
    const by = { system, author: ORIGIN.author, reason: ORIGIN.reason };
    assert.deepEqual(
      rows,
      [
        { ...by, follows: '4711' },
        { ...by, follows: system },
      ].toSorted((a, b) => (a.follows < b.follows ? -1 : 1)),
    );
    await sql(db.superuserUrl, `alter table bulkhead.fence_confirmation disable trigger all`);
    await sql(db.superuserUrl, `update bulkhead.fence_confirmation set system = '1'`);
    assert.equal(await db.store.followsSystem('4711'), false, 'the word was given to another database');
  });

  it('needs a reason, and is nothing where there is no fence', async () => {
    const unreasoned = db.store.confirmFence({ fences: fenceAt([1, {}]) }, { ...ORIGIN, reason: null });
    await assert.rejects(unreasoned, { name: 'StoreError', kind: 'invalid', message: /say which/ });
    const before = await beat();
    await db.store.confirmFence({ fences: new Map() }, ORIGIN);
    assert.deepEqual(await beat(), before);
  });
});
