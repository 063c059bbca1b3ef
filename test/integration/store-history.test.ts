import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { LayerContent } from '../../src/job/goal.ts';
import { jobId, replicaId, revision, shardOf } from '../../src/job/ids.ts';
import type { PlatformContent } from '../../src/job/platform.ts';
import type { Fence } from '../../src/ports/shards.ts';
import type { ChangeOrigin } from '../../src/ports/store.ts';
import type { Store } from '../../src/store/open.ts';
import { sql, type TestDatabase, testDatabase } from '../support/postgres.ts';

const ORIGIN: ChangeOrigin = { author: 'ann', source: 'cli', reason: 'a test' };

const spec = (image: string): LayerContent => ({ kind: 'spec', spec: { container: { image } } });
const oncall = (replicas: number, until: Date | null): LayerContent => ({
  kind: 'patch',
  layer: 'oncall',
  patch: { workers: { replicas } },
  until,
});
const TOMBSTONE: LayerContent = { kind: 'tombstone' };

let db: TestDatabase;
let store: Store;
before(async () => {
  db = await testDatabase();
  store = db.store;
});
after(() => db[Symbol.asyncDispose]());

let names = 0;
async function newJob() {
  names += 1;
  const job = { tenant: 'ads', name: `job-${names}` };
  const [receipt] = await store.write([{ job, content: spec('app:1') }], ORIGIN);
  assert.ok(receipt?.id);
  const say = async (content: LayerContent, origin: ChangeOrigin = ORIGIN) => {
    const [answer] = await store.write([{ job, content }], origin);
    assert.ok(answer);
    return answer;
  };
  return { job, id: receipt.id, say };
}

describe('the history of a job', () => {
  it('has every revision of every layer in order, as it was said, by whom, how and why', async () => {
    const { id, say } = await newJob();
    const until = new Date(Date.now() + 3_600_000);
    const scaler: LayerContent = { kind: 'patch', layer: 'scaler', patch: { workers: { replicas: 3 } } };
    const said: [LayerContent, ChangeOrigin][] = [
      [scaler, { author: 'scaler', source: 'scaler', reason: null }],
      [oncall(5, until), { author: 'bob', source: 'oncall', reason: 'a spike', idempotencyKey: 'k' }],
      [{ kind: 'cleared', layer: 'scaler' }, ORIGIN],
      [{ kind: 'cleared', layer: 'oncall' }, ORIGIN],
      [TOMBSTONE, ORIGIN],
      [spec('app:2'), { author: 'eve', source: 'rollback', reason: null }],
    ];
    for (const [content, origin] of said) await say(content, origin);
    const history = await store.history(id);
    assert.deepEqual(
      history.map((r) => [r.revision, r.content, r.author, r.source, r.reason, r.idempotencyKey]),
      [[spec('app:1'), ORIGIN] as const, ...said].map(([content, o], n) => [
        n + 1,
        content,
        o.author,
        o.source,
        o.reason,
        o.idempotencyKey ?? null,
      ]),
    );
    for (const [n, { createdAt }] of history.entries())
      assert.ok(n === 0 || createdAt >= (history[n - 1]?.createdAt ?? 0));
    assert.deepEqual(await store.history(jobId('99999999-9999-4999-8999-999999999999')), []);
  });
});

describe('what the platform says', () => {
  const content = (replicas: number): PlatformContent => ({
    defaults: { workers: { replicas } },
    limits: { workers: { replicas: 100 } },
  });

  it('is numbered for each scope by itself, and comes back with its history', async () => {
    await using own = await testDatabase();
    const write = (tenant: string | null, replicas: number) =>
      own.store.writePlatform({ tenant, content: content(replicas) }, ORIGIN);
    assert.deepEqual(await own.store.platforms(), []);
    const receipts = [
      await write('b', 1),
      await write(null, 1),
      await write('a', 1),
      await write('b', 2),
      await write('b', 2),
    ];
    assert.deepEqual(
      receipts.map((r) => [r.tenant, r.revision, r.outcome]),
      [
        ['b', 1, 'created'],
        [null, 1, 'created'],
        ['a', 1, 'created'],
        ['b', 2, 'configured'],
        ['b', 2, 'unchanged'],
      ],
    );
    const newest = await own.store.platforms();
    assert.deepEqual(
      newest.map((r) => [r.tenant, r.revision, r.author, r.content]),
      [
        [null, 1, 'ann', content(1)],
        ['a', 1, 'ann', content(1)],
        ['b', 2, 'ann', content(2)],
      ],
    );
    const history = await own.store.platformHistory('b');
    assert.deepEqual(
      history.map((r) => [r.tenant, r.revision, r.content]),
      [
        ['b', 1, content(1)],
        ['b', 2, content(2)],
      ],
    );
    assert.equal((await own.store.platformHistory(null)).length, 1);
  });

  it('is refused when it was made from a revision that is not the newest', async () => {
    const write = (replicas: number, base: number | 'none') =>
      store.writePlatform(
        { tenant: 'based', content: content(replicas), base: base === 'none' ? base : revision(base) },
        ORIGIN,
      );
    await assert.rejects(write(1, 1), {
      kind: 'conflict',
      message: /for tenant based is not there, but this change was/,
    });
    await write(1, 'none');
    await write(2, 1);
    await assert.rejects(write(3, 1), {
      kind: 'conflict',
      message: /changed by ann at .* \(revision 2, "a test"\), but this change was made from revision 1: compare both/,
    });
    await assert.rejects(write(2, 'none'), { kind: 'conflict' });
  });

  it('by many at once is numbered without a gap, and of two from one base one wins', async () => {
    const works = Array.from({ length: 10 }, (_, n) =>
      store.writePlatform({ tenant: 'busy', content: content(n + 1) }, ORIGIN),
    );
    const numbers = (await Promise.all(works)).map((r) => Number(r.revision)).sort((a, b) => a - b);
    assert.deepEqual(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const settled = await Promise.allSettled(
      [50, 60].map((n) => store.writePlatform({ tenant: 'busy', content: content(n), base: revision(10) }, ORIGIN)),
    );
    assert.deepEqual(settled.map((s) => s.status).sort(), ['fulfilled', 'rejected']);
  });

  it('is hinted at, as are goals: to those who listen', async () => {
    const client = new pg.Client({ connectionString: db.url });
    await client.connect();
    const heard: string[] = [];
    client.on('notification', ({ payload }) => heard.push(payload ?? ''));
    await client.query('listen bulkhead_goal');
    await store.writePlatform({ tenant: 'heard', content: content(1) }, ORIGIN);
    await store.writePlatform({ tenant: 'heard', content: content(1) }, ORIGIN);
    const { id } = await newJob();
    for (let n = 0; heard.length < 2 && n < 100; n += 1) await sleep(20);
    await client.end();
    assert.deepEqual(heard, ['platform', id], 'what changed nothing is no news');
  });
});

describe('on-call layers whose time is over', () => {
  const future = () => new Date(Date.now() + 3_600_000);
  const me = { id: replicaId('44444444-4444-4444-8444-444444444444'), name: 'me', clusterId: null };
  const other = { id: replicaId('55555555-5555-4555-8555-555555555555'), name: 'other', clusterId: null };
  /** Puts an override on a job, and lets its time pass. */
  const overdue = async ({ id, say }: Awaited<ReturnType<typeof newJob>>, origin = ORIGIN): Promise<void> => {
    await say(oncall(2, future()), origin);
    // Past the triggers, which let nobody change the past.
    const ago = `update bulkhead.goal_head set oncall_until = now() - interval '1 minute' where job_id = '${id}'`;
    await sql(db.superuserUrl, `set session_replication_role = replica; ${ago}`);
  };
  const claim = async (self = me): Promise<readonly Fence[]> => (await store.heartbeat(self, 60_000)).fences;

  it('are ended by a revision that says whose override ended; the others are left', async () => {
    const fences = await claim();
    const [due, later, forever, gone] = [await newJob(), await newJob(), await newJob(), await newJob()];
    await overdue(due, { ...ORIGIN, author: 'bob' });
    await later.say(oncall(2, future()));
    await forever.say(oncall(2, null));
    await overdue(gone);
    await gone.say(TOMBSTONE);
    assert.deepEqual(await store.expireOverrides(fences), [due.id]);
    const last = (await store.history(due.id)).at(-1);
    assert.deepEqual(
      [last?.revision, last?.content, last?.author, last?.source],
      [3, { kind: 'cleared', layer: 'oncall' }, 'bulkhead', 'system'],
    );
    assert.match(last?.reason ?? '', /^The override of revision 2, made by bob, was to end at \d{4}-.*Z\.$/);
    const goal = await store.find(due.job);
    assert.deepEqual([goal?.revision, goal?.layers.oncall], [3, null]);
    assert.equal((await due.say({ kind: 'cleared', layer: 'oncall' })).outcome, 'unchanged', 'it is ended already');
    assert.deepEqual(await store.expireOverrides(fences), [], 'once');
    assert.equal((await store.find(later.job))?.layers.oncall?.revision, 2);
    const back = await gone.say(spec('app:1'));
    assert.equal(back.revision, 4, 'a removed job is left as it was removed');
    assert.deepEqual(await store.expireOverrides(fences), [gone.id], 'its override ends when it is back');
  });

  it('are left to those who act for their shard, and to nobody without a fence that holds', async () => {
    const job = await newJob();
    const { id } = job;
    await overdue(job);
    const fences = await claim();
    const others = fences.filter((fence) => fence.shard !== shardOf(id));
    assert.deepEqual(await store.expireOverrides([]), []);
    assert.deepEqual(await store.expireOverrides(others), []);
    await store.leave(me.id);
    await assert.rejects(store.expireOverrides(fences), { kind: 'fenced' });
    const theirs = await claim(other);
    await assert.rejects(store.expireOverrides(fences), { kind: 'fenced' });
    assert.deepEqual(await store.expireOverrides(theirs), [id]);
    await store.leave(other.id);
  });

  it('wait while somebody changes the job, and nobody waits for them', async () => {
    const [held, free] = [await newJob(), await newJob()];
    await overdue(held);
    await overdue(free);
    const fences = await claim();
    const writer = new pg.Client({ connectionString: db.adminUrl });
    await writer.connect();
    await writer.query('begin');
    await writer.query('select from bulkhead.goal_head where job_id = $1 for no key update', [held.id]);
    assert.deepEqual(await store.expireOverrides(fences), [free.id]);
    await writer.query('rollback');
    await writer.end();
    assert.deepEqual(await store.expireOverrides(fences), [held.id]);
    await store.leave(me.id);
  });

  it('and a change of them at the same moment: each is stored, in one order or the other', async () => {
    const fences = await claim();
    for (let n = 0; n < 10; n += 1) {
      const made = await newJob();
      const { id, say, job } = made;
      await overdue(made);
      const [, receipt] = await Promise.all([store.expireOverrides(fences), say(oncall(4, future()))]);
      const revisions = (await store.history(id)).map((r) => r.revision);
      assert.deepEqual(
        revisions,
        revisions.map((_, index) => index + 1),
      );
      assert.equal((await store.find(job))?.layers.oncall?.revision, receipt.revision, 'the newer word counts');
    }
    await store.leave(me.id);
  });

  it('cost one look at an index when none is due', async () => {
    const client = new pg.Client({ connectionString: db.adminUrl });
    await client.connect();
    await client.query('set enable_seqscan = off');
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(
      'explain select from bulkhead.goal_head where oncall_until <= (select clock_timestamp())',
    );
    await client.end();
    assert.match(rows.map((row) => row['QUERY PLAN']).join('\n'), /goal_head_that_ends/);
  });
});
