import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { contentHash } from '../../src/job/canonical.ts';
import type { Goal, JobContent } from '../../src/job/goal.ts';
import { type JobId, jobId, jobName, revision, shardOf } from '../../src/job/ids.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import type { ChangeOrigin, GoalChange, GoalReceipt } from '../../src/ports/store.ts';
import type { Store } from '../../src/store/open.ts';
import { specArbitrary } from '../support/arbitrary.ts';
import { sql, type TestDatabase, testDatabase } from '../support/postgres.ts';

const ORIGIN: ChangeOrigin = { author: 'ann', source: 'cli', reason: 'a test' };
const TOMBSTONE: JobContent = { kind: 'tombstone' };

const specOf = (image: string): JobSpec => ({ container: { image } });
const apply = (name: string, image = 'app:1', tenant = 'ads'): GoalChange => ({
  job: { tenant, name },
  content: { kind: 'spec', spec: specOf(image) },
});
const remove = (name: string, tenant = 'ads'): GoalChange => ({ job: { tenant, name }, content: TOMBSTONE });

const outcomes = (receipts: readonly GoalReceipt[]) => receipts.map((r) => r.outcome);
const idOf = (receipt: GoalReceipt | undefined): JobId => {
  assert.ok(receipt?.id, 'a job that was stored has an id');
  return receipt.id;
};
const refusedByTrigger = { code: '23001' };
const refusedByRights = { code: '42501' };

describe('goals in Postgres', () => {
  let db: TestDatabase;
  let store: Store;
  before(async () => {
    db = await testDatabase();
    store = db.store;
  });
  after(() => db[Symbol.asyncDispose]());

  it('come back as they were written, with author, source, reason and time', async () => {
    const spec: JobSpec = {
      container: { image: 'app:1', env: [{ name: 'A', value: 'ünï \n "$(B)" \\u0000' }] },
      workers: { replicas: 2, resources: { requests: { cpu: 0.1, memory: '1Gi' }, limits: { memory: '1Gi' } } },
    };
    const job = { tenant: 'round', name: 'trip' };
    const content: JobContent = { kind: 'spec', spec };
    const [receipt] = await store.write([{ job, content }], ORIGIN);
    const goal = await store.find(job);
    assert.ok(goal);
    assert.deepEqual(goal.content, content);
    assert.deepEqual(goal.job, { ...job, id: idOf(receipt) });
    const { author, source, reason, createdAt, ...layer } = goal.layers.job;
    assert.deepEqual([goal.revision, author, source, reason], [1, 'ann', 'cli', 'a test']);
    assert.deepEqual(layer, { revision: 1, content, contentHash: contentHash(content), idempotencyKey: null });
    assert.deepEqual(goal.platform, { all: null, tenant: null });
    assert.ok(Math.abs(Date.now() - createdAt.getTime()) < 60_000);
  });

  it('of any spec come back equal: jsonb loses nothing of it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(specArbitrary, { minLength: 1, maxLength: 20 }), async (specs) => {
        const written = specs.map((spec): JobContent => ({ kind: 'spec', spec }));
        const changes = written.map((content, n) => ({ job: { tenant: 'any', name: `spec-${n}` }, content }));
        const ids = (await store.write(changes, ORIGIN)).map(idOf);
        const read = new Map((await store.goals(ids)).map((goal) => [goal.job.id, goal]));
        for (const [n, id] of ids.entries()) {
          const goal = read.get(id);
          assert.deepEqual(goal?.layers.job.content, JSON.parse(JSON.stringify(written[n])));
          assert.equal(goal?.layers.job.contentHash, contentHash(goal?.layers.job.content));
        }
      }),
      { numRuns: 15 },
    );
  });

  it('cannot be edited or deleted: rights keep the role of run time from it, triggers the owner', async () => {
    await store.write([apply('kept')], ORIGIN);
    for (const statement of [
      `update bulkhead.goal_revision set author = 'eve'`,
      'delete from bulkhead.goal_revision',
      'truncate bulkhead.goal_revision cascade',
      'update bulkhead.goal_revision set author = author where false',
    ]) {
      await assert.rejects(sql(db.url, statement), refusedByRights, statement);
      await assert.rejects(sql(db.adminUrl, statement), refusedByTrigger, statement);
    }
  });

  it('are stored all or not at all: one that the database refuses among good ones stores nothing', async () => {
    const bad = { ...apply('bad'), job: { tenant: 'ads', name: 'a NUL: \0' } };
    await assert.rejects(store.write([apply('good'), bad, remove('kept')], ORIGIN), {
      name: 'StoreError',
      kind: 'configuration',
    });
    assert.equal(await store.find({ tenant: 'ads', name: 'good' }), null);
    assert.ok(await store.find({ tenant: 'ads', name: 'kept' }));
    const orphans = await sql(
      db.adminUrl,
      'select from bulkhead.job j where not exists (select from bulkhead.goal_head h where h.job_id = j.id)',
    );
    assert.equal(orphans.length, 0);
  });

  it('refuse a job that is named twice in one change, since the order would decide', async () => {
    await assert.rejects(store.write([apply('twice'), remove('twice')], ORIGIN), { kind: 'conflict' });
  });

  it('make no revision of equal content, so that doing it again is safe', async () => {
    const first = await store.write([apply('same')], ORIGIN);
    const again = await store.write([apply('same')], { ...ORIGIN, author: 'bob' });
    assert.deepEqual([...outcomes(first), ...outcomes(again)], ['created', 'unchanged']);
    assert.deepEqual([again[0]?.id, again[0]?.revision], [first[0]?.id, 1]);
    assert.equal((await store.find({ tenant: 'ads', name: 'same' }))?.layers.job.author, 'ann');
  });

  it('answer in the order of the changes, and write nothing for none', async () => {
    await store.write([apply('b'), apply('c')], ORIGIN);
    const receipts = await store.write([remove('c'), apply('b', 'app:2'), apply('a'), remove('never')], ORIGIN);
    assert.deepEqual(outcomes(receipts), ['removed', 'configured', 'created', 'absent']);
    assert.deepEqual(
      receipts.map((r) => r.job.name),
      ['c', 'b', 'a', 'never'],
    );
    assert.deepEqual(await store.write([], ORIGIN), []);
  });

  it('of one job, written by many at once, are numbered 1, 2, 3 … without a gap', async () => {
    const writers = Array.from({ length: 20 }, (_, n) => store.write([apply('busy', `app:${n}`)], ORIGIN));
    const receipts = (await Promise.all(writers)).flat();
    assert.equal(new Set(receipts.map((r) => r.id)).size, 1, 'only one of them made the job');
    const numbers = receipts.map((r) => r.revision).sort((a, b) => Number(a) - Number(b));
    assert.deepEqual(
      numbers,
      Array.from({ length: 20 }, (_, n) => n + 1),
    );
    const rows = await sql(db.adminUrl, 'select revision from bulkhead.goal_revision where job_id = $1', [
      receipts[0]?.id,
    ]);
    assert.equal(rows.length, 20);
  });

  it('of crossing sets of jobs, old and new, do not deadlock', async () => {
    const names = Array.from({ length: 12 }, (_, n) => `cross-${n}`);
    await store.write(
      names.slice(0, 6).map((name) => apply(name, 'app:0')),
      ORIGIN,
    );
    const writers = Array.from({ length: 16 }, (_, n) => {
      const order = n % 2 === 0 ? names : [...names].reverse();
      const changes = order.map((name, m) => (n % 5 === 4 && m % 3 === 0 ? remove(name) : apply(name, `app:${n}`)));
      return store.write(changes, ORIGIN);
    });
    for (const receipts of await Promise.all(writers)) assert.equal(receipts.length, names.length);
  });

  it('of a removed job end in a tombstone, and stay known', async () => {
    const job = { tenant: 'ads', name: 'gone' };
    const [first] = await store.write([apply('gone')], ORIGIN);
    const [gone] = await store.write([remove('gone')], ORIGIN);
    assert.deepEqual([gone?.outcome, gone?.id, gone?.revision], ['removed', first?.id, 2]);
    assert.equal(await store.find(job), null);
    const [tombstone] = await store.goals([idOf(first)]);
    assert.deepEqual([tombstone?.content, tombstone?.revision], [TOMBSTONE, 2]);
    const [again] = await store.write([remove('gone')], ORIGIN);
    assert.deepEqual(again, { job, id: null, revision: null, outcome: 'absent' });
    const stranger = jobId('99999999-9999-4999-8999-999999999999');
    const known = await store.knows([idOf(first), stranger]);
    assert.deepEqual(known, new Set([first?.id]), 'removed jobs are known, strangers are not');
    assert.deepEqual(await store.goals([stranger]), []);
  });

  it('of a removed job come back under the same id within the retention time', async () => {
    const job = { tenant: 'ads', name: 'phoenix' };
    const [first] = await store.write([apply('phoenix')], ORIGIN);
    await store.write([remove('phoenix')], ORIGIN);
    const removed = await store.findRemoved(job);
    assert.equal(removed?.goal.job.id, first?.id);
    const days = ((removed?.until.getTime() ?? 0) - Date.now()) / 86_400_000;
    assert.ok(days > 6.9 && days <= 7, `kept for 7 days, found ${days}`);
    const [back] = await store.write([apply('phoenix')], ORIGIN);
    assert.deepEqual([back?.outcome, back?.id, back?.revision], ['restored', first?.id, 3], 'equal content, too');
    assert.equal(await store.findRemoved(job), null, 'what is there needs no undelete');
    assert.equal((await store.find(job))?.revision, 3);
  });

  it('of a removed job are left alone after the retention time: the name is free, for a job with a new id', async () => {
    await using own = await testDatabase();
    await sql(own.adminUrl, `update bulkhead.store set undelete_retention = '0'`);
    const job = { tenant: 'ads', name: 'phoenix' };
    const [first] = await own.store.write([apply('phoenix')], ORIGIN);
    await own.store.write([remove('phoenix')], ORIGIN);
    assert.equal(await own.store.findRemoved(job), null);
    const [second] = await own.store.write([apply('phoenix')], ORIGIN);
    assert.equal(second?.outcome, 'created');
    assert.notEqual(second?.id, first?.id);
    const [tombstone] = await own.store.goals([idOf(first)]);
    assert.equal(tombstone?.content.kind, 'tombstone', 'its rows stay');
    await sql(own.adminUrl, `update bulkhead.store set undelete_retention = '1 hour'`);
    assert.equal(await own.store.findRemoved(job), null, 'also with a longer retention: another has its name');
    await own.store.write([remove('phoenix')], ORIGIN);
    assert.equal((await own.store.findRemoved(job))?.goal.job.id, second?.id, 'the most lately removed one');
  });

  it('are listed by shard for those who act for it', async () => {
    const written = await store.write(
      Array.from({ length: 40 }, (_, n) => apply(`job-${n}`, 'app:1', 'sharded')),
      ORIGIN,
    );
    const ids = written.map(idOf);
    const shards = [...new Set(ids.map(shardOf))];
    const half = shards.slice(0, shards.length / 2);
    const mine = (await store.heads(half)).map((head) => head.jobId).filter((id) => ids.includes(id));
    assert.deepEqual(mine.sort(), ids.filter((id) => half.includes(shardOf(id))).sort());
    assert.deepEqual(await store.heads([]), []);
  });

  it('are listed by tenant and name, byte by byte, and by tenant alone', async () => {
    await store.write(
      [apply('b', 'app:1', 'z-list'), apply('a-b', 'app:1', 'z-list'), apply('aa', 'app:1', 'z-list')],
      ORIGIN,
    );
    const names = (goals: readonly Goal[]) => goals.map((g) => g.job.name);
    assert.deepEqual(names(await store.list({ tenant: 'z-list' })), ['a-b', 'aa', 'b']);
    assert.deepEqual(names(await store.list({ tenant: 'nobody' })), []);
    assert.deepEqual(names(await store.list()).slice(-3), ['a-b', 'aa', 'b']);
  });
});

/** What a list of writes must lead to, in a few lines. */
class Model {
  readonly jobs = new Map<string, { id: JobId; revision: number; image: string | null }>();

  check(change: GoalChange, receipt: GoalReceipt | undefined): void {
    assert.ok(receipt);
    const name = jobName(change.job);
    const job = this.jobs.get(name);
    const isThere = typeof job?.image === 'string';
    if (change.content.kind === 'tombstone') {
      assert.equal(receipt.outcome, isThere ? 'removed' : 'absent');
      if (isThere) this.jobs.set(name, { ...job, revision: job.revision + 1, image: null });
      return;
    }
    assert.ok(change.content.kind === 'spec');
    const { image } = change.content.spec.container;
    const same = job?.image === image;
    const outcome = job === undefined ? 'created' : isThere ? (same ? 'unchanged' : 'configured') : 'restored';
    assert.equal(receipt.outcome, outcome);
    const next = { id: job?.id ?? idOf(receipt), revision: (job?.revision ?? 0) + (same ? 0 : 1), image };
    assert.deepEqual([receipt.id, receipt.revision], [next.id, next.revision]);
    this.jobs.set(name, next);
  }
}

describe('any sequence of writes', () => {
  let db: TestDatabase;
  let runs = 0;
  before(async () => {
    db = await testDatabase();
  });
  after(() => db[Symbol.asyncDispose]());

  const change = fc.record({
    job: fc.record({ tenant: fc.constantFrom('a', 'b'), name: fc.constantFrom('x', 'y', 'z') }),
    image: fc.option(fc.constantFrom('app:1', 'app:2'), { nil: null, freq: 3 }),
  });
  const batch = fc.uniqueArray(change, { minLength: 1, maxLength: 4, selector: (c) => jobName(c.job) });

  it('leads to what a simple model says: list, heads, receipts and history', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(batch, { maxLength: 8 }), async (batches) => {
        runs += 1;
        const tenantOf = (tenant: string) => `run-${runs}-${tenant}`;
        const model = new Model();
        for (const entries of batches) {
          const changes = entries.map(({ job, image }) =>
            image === null ? remove(job.name, tenantOf(job.tenant)) : apply(job.name, image, tenantOf(job.tenant)),
          );
          const receipts = await db.store.write(changes, ORIGIN);
          for (const [n, one] of changes.entries()) model.check(one, receipts[n]);
        }
        const goals = (await Promise.all(['a', 'b'].map((t) => db.store.list({ tenant: tenantOf(t) })))).flat();
        const listed = goals.map((g) => [
          jobName(g.job),
          {
            id: g.job.id,
            revision: g.revision,
            image: g.content.kind === 'spec' ? g.content.spec.container.image : '',
          },
        ]);
        assert.deepEqual(
          listed,
          [...model.jobs].filter(([, job]) => job.image !== null).sort(([a], [b]) => (a < b ? -1 : 1)),
        );
        const heads = new Map((await db.store.heads()).map((h) => [h.jobId, h.revision]));
        for (const { id, revision: at } of model.jobs.values()) assert.equal(heads.get(id), revision(at));
        const gaps = await sql(
          db.adminUrl,
          'select from bulkhead.goal_revision group by job_id having max(revision) <> count(*) or min(revision) <> 1',
        );
        assert.equal(gaps.length, 0, 'revisions of a job have no gaps');
      }),
      { numRuns: 100 },
    );
  });
});
