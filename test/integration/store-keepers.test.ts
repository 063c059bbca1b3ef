import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type JobRevision, type LayerContent, layerOf, type Source } from '../../src/job/goal.ts';
import { clusterId, jobId, revision } from '../../src/job/ids.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import type { FieldKeeper, JobStatus } from '../../src/job/status.ts';
import type { Fence } from '../../src/ports/shards.ts';
import {
  type ChangeOrigin,
  type GoalReceipt,
  KeptElsewhereError,
  StaleBaseError,
  StoreError,
} from '../../src/ports/store.ts';
import { sql, type TestDatabase, testDatabase } from '../support/postgres.ts';
import { asReplica } from './cli-process.ts';

/** Two ways in: what others keep of a StreamJob, no change from elsewhere may touch unless it takes over. */

let db: TestDatabase;
before(async () => {
  db = await testDatabase();
});
after(() => db[Symbol.asyncDispose]());

const from = (source: Source): ChangeOrigin => ({ author: 'ann', source, reason: 'test' });
const SPEC: JobSpec = { container: { image: 'app:1', env: [{ name: 'A', value: '1' }] }, workers: { replicas: 2 } };
const said = (change: Partial<JobSpec>): LayerContent => ({ kind: 'spec', spec: { ...SPEC, ...change } });
const same = said({});
const scaled = said({ workers: { replicas: 3 } });
const TOMBSTONE: LayerContent = { kind: 'tombstone' };
const patch = { workers: { replicas: 9 } };

let count = 0;
const newName = () => ({ tenant: 'ads', name: `job-${count++}` });
type Name = ReturnType<typeof newName>;

/** As an operator would, after a look at the job's StreamJob. */
async function see(job: Name, keepers: readonly FieldKeeper[]): Promise<void> {
  const goal = (await db.store.find(job)) ?? (await db.store.findRemoved(job))?.goal ?? assert.fail('no such job');
  const status: JobStatus = {
    jobId: goal.job.id,
    observedRevision: goal.revision,
    observedPlatform: { all: 0, tenant: 0 },
    clusterId: clusterId('cccccccc-cccc-4ccc-8ccc-cccccccccccc'),
    phase: 'Running',
    conditions: [],
    workers: { desired: 2, ready: 2, restarts: 0 },
    cell: 'bh-x',
    tier: 'namespace',
    next: [],
    ...(keepers.length > 0 && { keepers }),
  };
  await asReplica(db.store, (fenceOf) => db.store.record(fenceOf(goal.job.id), { status, events: [] }));
}

async function made(keepers: readonly FieldKeeper[], removed = false): Promise<Name> {
  const job = newName();
  await db.store.write([{ job, content: same }], from('kubectl'));
  if (removed) await db.store.write([{ job, content: TOMBSTONE }], from('kubectl'));
  await see(job, keepers);
  return job;
}

const newest = async (job: Name): Promise<JobRevision | undefined> => {
  const goal = (await db.store.find(job)) ?? (await db.store.findRemoved(job))?.goal;
  return goal && (await db.store.history(goal.job.id)).at(-1);
};

const argo: FieldKeeper = { manager: 'argocd-controller', fields: ['container.image', 'workers.replicas'] };
const flux: FieldKeeper = { manager: 'flux', fields: ['workers'] };

interface Case {
  readonly why: string;
  readonly source: Source;
  readonly content: LayerContent;
  readonly keepers: readonly FieldKeeper[];
  readonly takeOver?: true;
  /** The job was removed before. */
  readonly removed?: true;
  readonly outcome: GoalReceipt['outcome'] | readonly FieldKeeper[];
}

const REFUSED: readonly FieldKeeper[] = [{ manager: 'argocd-controller', fields: ['workers.replicas'] }];

const CASES: readonly Case[] = [
  { why: 'a field that is kept', source: 'cli', content: scaled, keepers: [argo], outcome: REFUSED },
  { why: 'the same over HTTP', source: 'api', content: scaled, keepers: [argo], outcome: REFUSED },
  { why: 'the same by a rollback', source: 'rollback', content: scaled, keepers: [argo], outcome: REFUSED },
  {
    why: 'with kubectl they had their say',
    source: 'kubectl',
    content: scaled,
    keepers: [argo],
    outcome: 'configured',
  },
  {
    why: 'Bulkhead itself is no other way in',
    source: 'system',
    content: scaled,
    keepers: [argo],
    outcome: 'configured',
  },
  { why: 'nobody keeps anything', source: 'cli', content: scaled, keepers: [], outcome: 'configured' },
  { why: 'taking over', source: 'cli', content: scaled, keepers: [argo], takeOver: true, outcome: 'configured' },
  {
    why: 'taking over by a rollback',
    source: 'rollback',
    content: scaled,
    keepers: [argo],
    takeOver: true,
    outcome: 'configured',
  },
  {
    why: 'taking over from nobody',
    source: 'api',
    content: scaled,
    keepers: [],
    takeOver: true,
    outcome: 'configured',
  },
  {
    why: 'a field that nobody keeps',
    source: 'cli',
    content: said({ suspended: true }),
    keepers: [argo],
    outcome: 'configured',
  },
  {
    why: 'of several fields those that are kept are named',
    source: 'cli',
    content: said({ workers: { replicas: 3 }, suspended: true }),
    keepers: [{ manager: 'ann', fields: ['container.env'] }, argo],
    outcome: REFUSED,
  },
  { why: 'who keeps a field keeps all below it', source: 'cli', content: scaled, keepers: [flux], outcome: [flux] },
  {
    why: 'a list is one field',
    source: 'cli',
    content: said({
      container: {
        image: 'app:1',
        env: [
          { name: 'A', value: '1' },
          { name: 'B', value: '2' },
        ],
      },
    }),
    keepers: [{ manager: 'ann', fields: ['container.env'] }],
    outcome: [{ manager: 'ann', fields: ['container.env'] }],
  },
  {
    why: 'a field that is taken away',
    source: 'cli',
    content: { kind: 'spec', spec: { container: SPEC.container } },
    keepers: [argo],
    outcome: REFUSED,
  },
  { why: 'what says nothing new', source: 'cli', content: same, keepers: [argo, flux], outcome: 'unchanged' },
  {
    why: 'what says nothing new, taking over',
    source: 'cli',
    content: same,
    keepers: [argo],
    takeOver: true,
    outcome: 'unchanged',
  },
  {
    why: 'an override is never written to the object',
    source: 'oncall',
    content: { kind: 'patch', layer: 'oncall', patch, until: null },
    keepers: [argo],
    outcome: 'configured',
  },
  {
    why: 'nor is one by the API',
    source: 'api',
    content: { kind: 'patch', layer: 'oncall', patch, until: null },
    keepers: [argo],
    outcome: 'configured',
  },
  {
    why: 'nor what the scaler says',
    source: 'scaler',
    content: { kind: 'patch', layer: 'scaler', patch },
    keepers: [argo],
    outcome: 'configured',
  },
  {
    why: 'a removal, whatever is kept',
    source: 'cli',
    content: TOMBSTONE,
    keepers: [{ manager: 'ann', fields: ['suspended'] }],
    outcome: [{ manager: 'ann', fields: ['suspended'] }],
  },
  { why: 'a removal of what nobody keeps', source: 'cli', content: TOMBSTONE, keepers: [], outcome: 'removed' },
  { why: 'a removal with kubectl', source: 'kubectl', content: TOMBSTONE, keepers: [argo], outcome: 'removed' },
  {
    why: 'a removal, taking over',
    source: 'api',
    content: TOMBSTONE,
    keepers: [argo],
    takeOver: true,
    outcome: 'removed',
  },
  {
    why: 'bringing back what is kept',
    source: 'rollback',
    content: same,
    keepers: [argo],
    removed: true,
    outcome: [argo],
  },
  {
    why: 'bringing back with kubectl',
    source: 'kubectl',
    content: same,
    keepers: [argo],
    removed: true,
    outcome: 'restored',
  },
  {
    why: 'bringing back, taking over',
    source: 'rollback',
    content: same,
    keepers: [argo],
    removed: true,
    takeOver: true,
    outcome: 'restored',
  },
  {
    why: 'bringing back what nobody keeps',
    source: 'rollback',
    content: same,
    keepers: [],
    removed: true,
    outcome: 'restored',
  },
  { why: 'removing once more', source: 'cli', content: TOMBSTONE, keepers: [argo], removed: true, outcome: 'absent' },
];

const keptBy = async (work: Promise<unknown>): Promise<KeptElsewhereError> => {
  const error = await work.then(
    () => assert.fail('was not refused'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof KeptElsewhereError, String(error));
  assert.equal(error.kind, 'conflict');
  return error;
};

describe('what others keep in Kubernetes', () => {
  for (const { why, source, content, keepers, takeOver, removed, outcome } of CASES) {
    const title = typeof outcome === 'string' ? outcome : 'refused';
    it(`${why}: ${source}, ${content.kind}${takeOver ? ', taking over' : ''} is ${title}`, async () => {
      const job = await made(keepers, removed);
      const before = await newest(job);
      const change = { job, content, ...(takeOver && { takeOver }) };
      if (typeof outcome !== 'string') {
        // A dry run says it, too.
        for (const dryRun of [true, false]) {
          const error = await keptBy(db.store.write([change], from(source), { dryRun }));
          assert.deepEqual([error.job, error.keepers], [job, outcome]);
        }
        assert.deepEqual(await newest(job), before);
        return;
      }
      const [dry] = await db.store.write([change], from(source), { dryRun: true });
      const [receipt] = await db.store.write([change], from(source));
      assert.deepEqual([receipt?.outcome, dry], [outcome, receipt]);
      const isStored = outcome !== 'unchanged' && outcome !== 'absent';
      const expected = isStored && takeOver && layerOf(content) === 'job' ? true : undefined;
      assert.equal((await newest(job))?.takeOver, expected);
    });
  }

  it('says who keeps what, and the two ways out with words that can be pasted', async () => {
    const { name, ...job } = await made([argo, { manager: 'ann', fields: ['suspended'] }]);
    const change = said({ container: { image: 'app:2' }, workers: {}, suspended: true });
    const changed = await keptBy(db.store.write([{ job: { ...job, name }, content: change }], from('cli')));
    assert.equal(
      changed.message,
      `ads/${name}: argocd-controller keeps container.image, workers.replicas; ann keeps suspended in Kubernetes and would not ` +
        `hear of this; nothing was stored. Say it above them with: bulkhead override ads/${name} --set container.image=app:2 ` +
        "--set suspended=true --set workers.replicas=null --until 2h --reason '…' (layer oncall, which is never written to " +
        'the object), or write over what they keep with --take-over.',
    );
    const removed = await keptBy(db.store.write([{ job: { ...job, name }, content: TOMBSTONE }], from('cli')));
    assert.match(
      removed.message,
      new RegExp(`kubectl -n ads delete streamjob ${name}; or remove the job all the same with --take-over\\.$`),
    );
  });

  it('names every job of a call that is refused, and stores none of the others', async () => {
    const kept = [await made([argo]), await made([flux]), await made([argo])];
    const free = await made([]);
    const changes = [...kept, free, newName()].map((job) => ({ job, content: scaled }));
    const error = await keptBy(db.store.write(changes, from('cli')));
    assert.deepEqual(error.job, kept[0]);
    const lines = error.message.split('\n');
    assert.deepEqual(
      lines.slice(1, 4),
      kept.map(
        ({ name }, n) =>
          `  ads/${name}: ${n === 1 ? 'flux keeps workers' : 'argocd-controller keeps workers.replicas'}`,
      ),
    );
    assert.equal(lines.length, 5);
    assert.equal((await newest(free))?.revision, 1);
    // Taking over is said job by job.
    const some = changes.map((it) => ({ ...it, ...(it.job !== kept[2] && { takeOver: true as const }) }));
    assert.deepEqual((await keptBy(db.store.write(some, from('cli')))).job, kept[2]);
    const receipts = await db.store.write(
      changes.map((it) => ({ ...it, takeOver: true })),
      from('cli'),
    );
    assert.deepEqual(
      receipts.map((it) => it.outcome),
      [...Array(4).fill('configured'), 'created'],
    );
  });

  it('comes after the question whether the change was made from what is there', async () => {
    const job = await made([argo]);
    await assert.rejects(db.store.write([{ job, content: scaled, base: revision(7) }], from('cli')), StaleBaseError);
    await keptBy(db.store.write([{ job, content: scaled, base: revision(1) }], from('cli')));
  });

  it('is forgotten with the status: an observation is disposable', async () => {
    const job = await made([argo]);
    await see(job, []);
    assert.equal((await db.store.write([{ job, content: scaled }], from('cli')))[0]?.outcome, 'configured');
  });

  it('takes part in what a key stands for: the same key with taking over is another change', async () => {
    const job = await made([]);
    const origin = { ...from('cli'), idempotencyKey: 'k' };
    await db.store.write([{ job, content: scaled }], origin);
    await db.store.write([{ job, content: scaled }], origin);
    const other = db.store.write([{ job, content: scaled, takeOver: true }], origin);
    await assert.rejects(
      other,
      (e) => e instanceof StoreError && e.kind === 'conflict' && /used for other/.test(e.message),
    );
  });
});

describe('the id that a change brings along', () => {
  const A = jobId('aaaaaaaa-0000-4000-8000-000000000001');
  const B = jobId('aaaaaaaa-0000-4000-8000-000000000002');
  const C = jobId('aaaaaaaa-0000-4000-8000-000000000003');
  const refused = (work: Promise<unknown>, pattern: RegExp) =>
    assert.rejects(work, (e) => e instanceof StoreError && e.kind === 'conflict' && pattern.test(e.message));

  it('is that of a job which the change makes, and of no other', async () => {
    const job = newName();
    const [dry] = await db.store.write([{ job, content: same, id: A }], from('kubectl'), { dryRun: true });
    const [created] = await db.store.write([{ job, content: same, id: A }], from('kubectl'));
    assert.deepEqual([dry?.id, created?.id, created?.outcome], [A, A, 'created']);
    const [configured] = await db.store.write([{ job, content: scaled, id: B }], from('kubectl'));
    assert.deepEqual([configured?.id, configured?.outcome], [A, 'configured']);
    await db.store.write([{ job, content: TOMBSTONE, id: B }], from('kubectl'));
    const [restored] = await db.store.write([{ job, content: same, id: B }], from('kubectl'));
    assert.deepEqual([restored?.id, restored?.outcome], [A, 'restored']);
    assert.deepEqual([...(await db.store.knows([A, B]))], [A]);
  });

  it('is refused when another job has it or ever had it, and nothing is stored', async () => {
    const [other, late] = [newName(), newName()];
    const holder = (await db.store.list()).find((goal) => goal.job.id === A)?.job ?? assert.fail('no such job');
    const pattern = new RegExp(`ads/${other.name} cannot have the id ${A}: it was given to ads/${holder.name}`);
    const changes = [
      { job: late, content: same },
      { job: other, content: same, id: A },
    ];
    await refused(db.store.write(changes, from('kubectl')), pattern);
    assert.deepEqual([await db.store.find(late), await db.store.find(other)], [null, null]);
    await db.store.write([{ job: holder, content: TOMBSTONE }], from('kubectl'));
    await refused(db.store.write([{ job: other, content: same, id: A }], from('kubectl')), pattern);
    // Once its name is free again, a job of that name is another one.
    await sql(db.adminUrl, `update bulkhead.job set removed_at = removed_at - interval '1 year' where id = '${A}'`);
    await refused(db.store.write([{ job: holder, content: same, id: A }], from('kubectl')), /cannot have the id/);
    const [again] = await db.store.write([{ job: holder, content: same, id: B }], from('kubectl'));
    assert.deepEqual([again?.id, again?.outcome, again?.revision], [B, 'created', 1]);
  });

  it('is of one job in a call, and of one of two calls that meet', async () => {
    const twice = [newName(), newName()].map((job) => ({ job, content: same, id: C }));
    await refused(db.store.write(twice, from('kubectl')), /given to two jobs in one change/);
    const calls = await Promise.allSettled(twice.map((change) => db.store.write([change], from('kubectl'))));
    assert.deepEqual(calls.map((it) => it.status).sort(), ['fulfilled', 'rejected']);
    const lost = calls.find((it) => it.status === 'rejected');
    assert.match(String(lost?.reason), /cannot have the id/);
  });

  it('takes part in what a key stands for', async () => {
    const job = newName();
    const origin = { ...from('kubectl'), idempotencyKey: 'id' };
    await db.store.write([{ job, content: same }], origin);
    await refused(db.store.write([{ job, content: same, id: C }], origin), /used for other changes/);
  });
});

describe('one revision', () => {
  it('is found by its number, of whatever layer, as history has it', async () => {
    const job = await made([]);
    await db.store.write([{ job, content: { kind: 'patch', layer: 'scaler', patch } }], from('scaler'));
    await db.store.write([{ job, content: { kind: 'patch', layer: 'oncall', patch, until: null } }], from('oncall'));
    await db.store.write([{ job, content: scaled, takeOver: true }], from('cli'));
    await db.store.write([{ job, content: { kind: 'cleared', layer: 'scaler' } }], from('scaler'));
    await db.store.write([{ job, content: TOMBSTONE }], from('cli'));
    const id = (await db.store.findRemoved(job))?.goal.job.id ?? assert.fail('no such job');
    const history = await db.store.history(id);
    assert.deepEqual(
      history.map((it) => it.takeOver ?? false),
      [false, false, false, true, false, false],
    );
    assert.deepEqual(await Promise.all(history.map((it) => db.store.revisionOf(id, it.revision))), history);
    assert.equal(await db.store.revisionOf(id, revision(7)), null);
    assert.equal(await db.store.revisionOf(jobId('aaaaaaaa-0000-4000-8000-00000000000f'), revision(1)), null);
  });
});

describe('a write under a fence', () => {
  it('is stored while the fence holds, and refused with nothing stored once the shard is another’s', async () => {
    const job = await made([]);
    const { id } = (await db.store.find(job))?.job ?? assert.fail('no such job');
    let held: Fence | null = null;
    await asReplica(db.store, async (fenceOf) => {
      held = fenceOf(id);
      await db.store.write([{ job, content: scaled }], from('kubectl'), { fence: held });
    });
    const fence = held ?? assert.fail('no fence');
    const late = db.store.write([{ job, content: TOMBSTONE }], from('kubectl'), { fence });
    await assert.rejects(late, (error) => error instanceof StoreError && error.kind === 'fenced');
    assert.equal((await db.store.find(job))?.revision, 2);
  });
});
