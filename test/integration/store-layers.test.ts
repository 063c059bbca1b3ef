import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { LayerContent } from '../../src/job/goal.ts';
import { type JobId, type JobName, revision } from '../../src/job/ids.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import { type Base, type ChangeOrigin, type GoalChange, StaleBaseError } from '../../src/ports/store.ts';
import type { Store } from '../../src/store/open.ts';
import { sql, type TestDatabase, testDatabase } from '../support/postgres.ts';

const ORIGIN: ChangeOrigin = { author: 'ann', source: 'cli', reason: 'a test' };
const TOMBSTONE = { kind: 'tombstone' } as const;

const spec = (image: string, replicas = 1): LayerContent => ({
  kind: 'spec',
  spec: { container: { image }, workers: { replicas } },
});
const oncall = (replicas: number, until: Date | null = null): LayerContent => ({
  kind: 'patch',
  layer: 'oncall',
  patch: { workers: { replicas } },
  until,
});
const scaler = (replicas: number): LayerContent => ({
  kind: 'patch',
  layer: 'scaler',
  patch: { workers: { replicas } },
});
const cleared = (layer: 'scaler' | 'oncall'): LayerContent => ({ kind: 'cleared', layer });

let db: TestDatabase;
let store: Store;
let names = 0;
before(async () => {
  db = await testDatabase();
  store = db.store;
});
after(() => db[Symbol.asyncDispose]());

const newName = (tenant = 'ads'): JobName => {
  names += 1;
  return { tenant, name: `job-${names}` };
};

async function say(job: JobName, content: LayerContent, base?: Base, origin = ORIGIN) {
  const change: GoalChange = { job, content, ...(base === undefined ? {} : { base }) };
  const [receipt] = await store.write([change], origin);
  assert.ok(receipt);
  return receipt;
}

async function newJob(image = 'app:1', tenant = 'ads'): Promise<JobName & { id: JobId }> {
  const job = newName(tenant);
  const { id } = await say(job, spec(image));
  assert.ok(id);
  return { ...job, id };
}

async function specOf(job: JobName): Promise<JobSpec> {
  const goal = await store.find(job);
  assert.ok(goal?.content.kind === 'spec');
  return goal.content.spec;
}

describe('layers above a job', () => {
  it('are numbered in one series with it, and merge into what it should be', async () => {
    const job = await newJob();
    const receipts = [await say(job, scaler(3)), await say(job, oncall(5)), await say(job, spec('app:2'))];
    assert.deepEqual(
      receipts.map((r) => [r.outcome, r.revision]),
      [
        ['configured', 2],
        ['configured', 3],
        ['configured', 4],
      ],
    );
    const goal = await store.find(job);
    assert.ok(goal);
    const { layers } = goal;
    assert.deepEqual([layers.job.revision, layers.scaler?.revision, layers.oncall?.revision], [4, 2, 3]);
    assert.deepEqual(await specOf(job), { container: { image: 'app:2' }, workers: { replicas: 5 } });
    await say(job, cleared('oncall'));
    assert.equal((await store.find(job))?.layers.oncall, null, 'what was ended is none');
    assert.equal((await store.find(job))?.revision, 5, 'its end counts');
    assert.equal((await specOf(job)).workers?.replicas, 3);
  });

  it('are read the same by the function that knows ids and by the statement that asks in other ways', async () => {
    const job = await newJob('app:1', 'twice');
    await store.writePlatform(
      { tenant: 'twice', content: { defaults: { workers: { replicas: 2 } }, limits: {} } },
      ORIGIN,
    );
    for (const content of [scaler(3), oncall(5, new Date(Date.now() + 3_600_000)), TOMBSTONE]) await say(job, content);
    const [byId] = await store.goals([job.id]);
    assert.ok(byId);
    assert.deepEqual((await store.findRemoved(job))?.goal, byId);
    assert.ok(
      byId.layers.scaler && byId.layers.oncall && byId.platform.tenant,
      'there is something of each to compare',
    );
  });

  it('make no revision where they say what they said, each by its own rule', async () => {
    const job = await newJob();
    const until = new Date(Date.now() + 3_600_000);
    assert.equal((await say(job, cleared('scaler'))).outcome, 'unchanged', 'nothing was there to be ended');
    await say(job, scaler(3));
    await say(job, oncall(5, until));
    const again = [
      await say(job, scaler(3)),
      await say(job, oncall(5, until)),
      await say(job, spec('app:1')),
      await say(job, oncall(5, new Date(until.getTime() + 1))),
      await say(job, cleared('oncall')),
      await say(job, cleared('oncall')),
      await say(job, oncall(5, until)),
    ];
    assert.deepEqual(
      again.map((r) => [r.outcome, r.revision]),
      [
        ['unchanged', 3],
        ['unchanged', 3],
        ['unchanged', 3],
        ['configured', 4],
        ['configured', 5],
        ['unchanged', 5],
        ['configured', 6],
      ],
    );
  });

  it('need a job, and come back with one that is brought back', async () => {
    const nobody = newName();
    const refused = { kind: 'invalid', message: /There is no job ads\/job-\d+: apply it first/ };
    await assert.rejects(say(nobody, oncall(2)), refused);
    await assert.rejects(say(nobody, cleared('scaler')), refused);
    const job = await newJob();
    await say(job, oncall(2));
    await say(job, TOMBSTONE);
    await assert.rejects(say(job, oncall(3)), { kind: 'invalid', message: /it was removed; bring it back first/ });
    const back = await say(job, spec('app:1'));
    assert.deepEqual([back.outcome, back.id, back.revision], ['restored', job.id, 4]);
    assert.equal((await specOf(job)).workers?.replicas, 2);
  });

  it('together must hold before the limits: what would exceed them is refused, by path, found and expected', async () => {
    const job = await newJob('app:1', 'limited');
    await store.writePlatform(
      { tenant: 'limited', content: { defaults: {}, limits: { workers: { replicas: 4 } } } },
      ORIGIN,
    );
    await assert.rejects(say(job, oncall(5)), (error) => {
      assert.ok(error instanceof Error);
      assert.match(error.message, /^limited\/job-\d+ would exceed .*workers\.replicas is 5, expected .*4/);
      assert.equal((error as { kind?: string }).kind, 'invalid');
      return true;
    });
    await assert.rejects(say(newName('limited'), spec('app:1', 9)), { kind: 'invalid' });
    assert.equal((await say(job, oncall(4))).outcome, 'configured');
    assert.equal((await store.find(job))?.revision, 2, 'what was refused has left nothing');
  });

  it('that a limit forbids later on show as refused, and can be changed to what is allowed, or removed', async () => {
    const job = await newJob('app:1', 'tightened');
    await say(job, oncall(6));
    await store.writePlatform(
      { tenant: 'tightened', content: { defaults: {}, limits: { workers: { replicas: 3 } } } },
      ORIGIN,
    );
    const goal = await store.find(job);
    assert.ok(goal?.content.kind === 'refused');
    assert.equal(goal.content.because, 'LimitExceeded');
    assert.equal((await say(job, oncall(3))).outcome, 'configured');
    assert.equal((await store.find(job))?.content.kind, 'spec');
    assert.equal((await say(job, TOMBSTONE)).outcome, 'removed');
  });

  it('can be ended also where what is left exceeds the limits: that was so before, or somebody tightened them', async () => {
    const job = await newJob('app:1', 'ended');
    await say(job, spec('app:1', 5));
    await say(job, scaler(2));
    await say(job, oncall(3));
    const limits = { workers: { replicas: 1 } };
    await store.writePlatform({ tenant: 'ended', content: { defaults: {}, limits } }, ORIGIN);
    await assert.rejects(say(job, spec('app:2', 5)), { kind: 'invalid' }, 'other changes are refused as before');
    assert.equal((await say(job, cleared('oncall'))).outcome, 'configured');
    assert.equal((await say(job, cleared('scaler'))).outcome, 'configured');
    assert.equal((await store.find(job))?.content.kind, 'refused');
    assert.equal((await say(job, TOMBSTONE)).outcome, 'removed');
  });

  it('need an end that is to come by the clock of the database, which ends them', async () => {
    const job = await newJob();
    const ended = new Date(Date.now() - 1_000);
    await assert.rejects(say(job, oncall(2, ended)), {
      kind: 'invalid',
      message: new RegExp(
        `^The override of ads/${job.name} would end at ${ended.toISOString()}, which is past: by the clock of the database it is 20.*Z\\. Name a later time\\.$`,
      ),
    });
    assert.equal((await store.find(job))?.revision, 1);
    const soon = new Date(Date.now() + 300);
    const key = { ...ORIGIN, idempotencyKey: 'soon' };
    assert.equal((await say(job, oncall(2, soon), undefined, key)).outcome, 'configured');
    await sleep(400);
    const repeated = await say(job, oncall(2, soon), undefined, key);
    assert.deepEqual(
      [repeated.outcome, repeated.revision],
      ['configured', 2],
      'a repeat gets the same answer, however late',
    );
  });

  it('lie above what the platform says for all, and for the tenant', async () => {
    const job = await newJob('app:1', 'defaulted');
    const said = (tenant: string | null, port: number) =>
      store.writePlatform(
        { tenant, content: { defaults: { container: { env: [{ name: 'PORT', value: String(port) }] } }, limits: {} } },
        ORIGIN,
      );
    const envOf = async () => (await specOf(job)).container.env;
    await said(null, 1);
    assert.deepEqual(await envOf(), [{ name: 'PORT', value: '1' }]);
    await said('defaulted', 2);
    await said('other', 3);
    assert.deepEqual(await envOf(), [{ name: 'PORT', value: '2' }]);
    const goal = await store.find(job);
    assert.deepEqual([goal?.platform.all?.tenant, goal?.platform.tenant?.tenant], [null, 'defaulted']);
    await store.writePlatform({ tenant: null, content: { defaults: {}, limits: {} } }, ORIGIN);
  });
});

/** Of a change that was refused as stale: both sides, and a sentence that tells them. */
async function staleSides(work: Promise<unknown>): Promise<StaleBaseError> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof StaleBaseError, String(error));
  assert.equal(error.kind, 'conflict');
  return error;
}

describe('a change that names the revision it was made from', () => {
  it('is refused when that is not the newest of its layer, with both sides and who did what', async () => {
    const job = await newJob();
    await say(job, spec('app:2'), revision(1), { author: 'bob', source: 'api', reason: 'new image' });
    const stale = await staleSides(say(job, spec('app:3'), revision(1)));
    assert.match(
      stale.message,
      /^ads\/job-\d+ was changed by bob at [\dT:.-]+Z \(revision 2, "new image"\), but this change was made from revision 1: compare both, then make the change again from revision 2\.$/,
    );
    assert.deepEqual([stale.job, stale.layer, stale.base], [{ tenant: job.tenant, name: job.name }, 'job', 1]);
    assert.deepEqual(stale.current?.content, spec('app:2'));
    assert.deepEqual(stale.wanted, spec('app:3'));
    assert.equal((await say(job, spec('app:3'), revision(2))).revision, 3);
  });

  it('looks at its own layer alone', async () => {
    const job = await newJob();
    await say(job, oncall(2), 'none');
    await say(job, scaler(4), 'none');
    assert.equal((await say(job, spec('app:2'), revision(1))).revision, 4);
    assert.equal((await say(job, oncall(3), revision(2))).revision, 5);
    const stale = await staleSides(say(job, scaler(5), revision(2)));
    assert.match(stale.message, /^The scaler layer of ads\/job-\d+ was changed by ann/);
    assert.deepEqual([stale.layer, stale.current?.revision], ['scaler', 3]);
  });

  it('is refused for what is there already, is not there, or is there no more', async () => {
    const job = await newJob();
    assert.match((await staleSides(say(job, spec('app:2'), 'none'))).message, /was made for one that is not there/);
    const never = await staleSides(say(newName(), spec('app:2'), revision(3)));
    assert.match(never.message, /is not there, but this change was made from revision 3: look again/);
    assert.equal(never.current, null);
    await say(job, oncall(2));
    await say(job, cleared('oncall'));
    const ended = await staleSides(say(job, oncall(4), revision(2)));
    assert.match(ended.message, /^The on-call layer of .* was ended by ann/);
    assert.equal(ended.current, null);
    await say(job, TOMBSTONE);
    assert.match((await staleSides(say(job, spec('app:2'), revision(1)))).message, /was removed by ann/);
    await staleSides(say(job, TOMBSTONE, revision(1)));
    assert.equal((await say(job, spec('app:2'), 'none')).outcome, 'restored', 'a removed job counts as none');
  });

  it('is refused also when it says what is there by now: somebody else said it', async () => {
    const job = await newJob();
    await say(job, spec('app:2'));
    await staleSides(say(job, spec('app:2'), revision(1)));
  });

  it('and one of two made from the same revision at once wins; the other is shown it', async () => {
    const job = await newJob();
    const settled = await Promise.allSettled([
      say(job, spec('app:left'), revision(1)),
      say(job, spec('app:right'), revision(1)),
    ]);
    const won = settled.filter((s) => s.status === 'fulfilled').map((s) => s.value);
    const lost = settled.filter((s) => s.status === 'rejected').map((s) => s.reason as unknown);
    assert.deepEqual([won.map((r) => r.revision), lost.length], [[2], 1]);
    const [reason] = lost;
    assert.ok(reason instanceof StaleBaseError);
    const there = await store.find(job);
    assert.deepEqual(reason.current?.content, there?.layers.job.content);
    assert.notDeepEqual(reason.wanted, reason.current?.content);
  });

  const step = fc.record({
    writer: fc.constantFrom(0, 1, 2),
    layer: fc.constantFrom('job' as const, 'scaler' as const, 'oncall' as const),
    /** Look again before writing, or write from what was seen last. */
    looks: fc.boolean(),
    value: fc.integer({ min: 1, max: 50 }),
  });
  const contentOf = (layer: 'job' | 'scaler' | 'oncall', value: number): LayerContent =>
    layer === 'job' ? spec('app:1', value) : layer === 'scaler' ? scaler(value) : oncall(value);

  it('is stored if and only if it was made from the newest of its layer, whoever writes in between', async () => {
    const counts = { stored: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const job = await newJob();
        const newest = {
          job: 1 as number | 'none',
          scaler: 'none' as number | 'none',
          oncall: 'none' as number | 'none',
        };
        const seen = [{ ...newest }, { ...newest }, { ...newest }];
        let head = 1;
        for (const { writer, layer, looks, value } of steps) {
          const view = seen[writer] ?? newest;
          if (looks) Object.assign(view, newest);
          const base = view[layer];
          const work = say(job, contentOf(layer, value), base === 'none' ? 'none' : revision(base));
          if (base !== newest[layer]) {
            await staleSides(work);
            counts.refused += 1;
            continue;
          }
          const receipt = await work;
          counts.stored += 1;
          if (receipt.outcome === 'unchanged') continue;
          head += 1;
          assert.equal(receipt.revision, head);
          newest[layer] = head;
        }
        assert.equal((await store.find(job))?.revision, head);
      }),
      { numRuns: 60 },
    );
    assert.ok(counts.stored > 50 && counts.refused > 50, JSON.stringify(counts));
  });

  it('and many at once from the same revision: one is stored, all the others are refused', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 2, max: 8 }), async (writers) => {
        const job = await newJob();
        const works = Array.from({ length: writers }, (_, n) => say(job, spec(`app:${n + 2}`), revision(1)));
        const settled = await Promise.allSettled(works);
        assert.equal(settled.filter((s) => s.status === 'fulfilled').length, 1);
        for (const s of settled) if (s.status === 'rejected') assert.ok(s.reason instanceof StaleBaseError);
        assert.equal((await store.find(job))?.revision, 2);
      }),
      { numRuns: 15 },
    );
  });
});

describe('a key', () => {
  const keyed = (idempotencyKey: string): ChangeOrigin => ({ ...ORIGIN, idempotencyKey });

  it('makes the same changes happen once: again they give the same answer and store nothing', async () => {
    const [a, b] = [newName('one'), newName('two')];
    const changes = [
      { job: a, content: spec('app:1') },
      { job: b, content: spec('app:1') },
      { job: newName('one'), content: TOMBSTONE },
    ];
    const first = await store.write(changes, keyed('k1'));
    await say(a, spec('app:2'));
    const again = await store.write(changes, { ...keyed('k1'), author: 'other', reason: 'told differently' });
    assert.deepEqual(again, first);
    assert.deepEqual(
      first.map((r) => r.outcome),
      ['created', 'created', 'absent'],
    );
    assert.equal((await store.find(a))?.revision, 2, 'what came after is left as it is');
    assert.equal((await store.find(b))?.layers.job.idempotencyKey, 'k1', 'the history shows the key');
  });

  it('is kept also where there was nothing to change, so that sending it later changes nothing either', async () => {
    const job = await newJob();
    const first = await say(job, spec('app:1'), undefined, keyed('same'));
    assert.equal(first.outcome, 'unchanged');
    await say(job, spec('app:2'));
    assert.deepEqual(await say(job, spec('app:1'), undefined, keyed('same')), first);
    assert.equal((await store.find(job))?.revision, 2);
  });

  it('gives the same answer whatever base comes with it: who sends a call again has read anew', async () => {
    const job = newName('again');
    const first = await say(job, spec('app:1'), 'none', keyed('based'));
    assert.deepEqual(await say(job, spec('app:1'), first.revision ?? undefined, keyed('based')), first);
    assert.deepEqual(await say(job, spec('app:1'), undefined, keyed('based')), first);
  });

  it('is refused with other changes: other content, another order', async () => {
    const [a, b] = [newName('keys'), newName('keys')];
    await store.write(
      [
        { job: a, content: spec('app:1') },
        { job: b, content: spec('app:1') },
      ],
      keyed('k'),
    );
    const others: GoalChange[][] = [
      [{ job: a, content: spec('app:1') }],
      [
        { job: b, content: spec('app:1') },
        { job: a, content: spec('app:1') },
      ],
    ];
    for (const changes of others) {
      await assert.rejects(store.write(changes, keyed('k')), {
        kind: 'conflict',
        message: /^The idempotency key "k" was used for other changes already \(tenant keys\): use a new key/,
      });
    }
  });

  it("is a tenant's own, and that of the platform's scopes", async () => {
    await say(newName('mine'), spec('app:1'), undefined, keyed('shared'));
    assert.equal((await say(newName('yours'), spec('app:1'), undefined, keyed('shared'))).outcome, 'created');
    const content = { defaults: {}, limits: {} };
    const first = await store.writePlatform({ tenant: 'theirs', content }, keyed('shared'));
    assert.deepEqual(await store.writePlatform({ tenant: 'theirs', content }, keyed('shared')), first);
    await assert.rejects(store.writePlatform({ tenant: 'mine', content }, keyed('shared')), { kind: 'conflict' });
  });

  it('sent by many at once stores once, and all get the same answer', async () => {
    const changes = [newName(), newName()].map((job) => ({ job, content: spec('app:1') }));
    const answers = await Promise.all(Array.from({ length: 12 }, () => store.write(changes, keyed('crowd'))));
    for (const answer of answers) assert.deepEqual(answer, answers[0]);
    assert.deepEqual(
      answers[0]?.map((r) => [r.outcome, r.revision]),
      [
        ['created', 1],
        ['created', 1],
      ],
    );
  });
});

describe('a dry run', () => {
  it('answers as the change would and stores nothing: no job, no revision, no key', async () => {
    const job = await newJob();
    const other = newName();
    const changes: GoalChange[] = [
      { job, content: spec('app:2') },
      { job: other, content: spec('app:1') },
    ];
    const origin = { ...ORIGIN, idempotencyKey: 'dry' };
    const would = await store.write(changes, origin, { dryRun: true });
    assert.deepEqual(
      would.map((r) => [r.outcome, r.revision]),
      [
        ['configured', 2],
        ['created', 1],
      ],
    );
    assert.equal((await store.find(job))?.revision, 1);
    assert.equal(await store.find(other), null);
    assert.deepEqual(await sql(db.adminUrl, `select from bulkhead.idempotency where key = 'dry'`), []);
    const did = await store.write(changes, origin);
    assert.deepEqual(
      did.map((r) => r.outcome),
      ['configured', 'created'],
    );
  });

  it('refuses what the change would be refused for', async () => {
    const job = await newJob();
    const change = { job, content: spec('app:2'), base: revision(7) };
    await staleSides(store.write([change], ORIGIN, { dryRun: true }));
    await assert.rejects(store.write([{ job: newName(), content: oncall(2) }], ORIGIN, { dryRun: true }), {
      kind: 'invalid',
    });
  });
});
