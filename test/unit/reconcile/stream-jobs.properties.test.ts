import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { canonicalJson } from '../../../src/job/canonical.ts';
import { type JobName, jobName } from '../../../src/job/ids.ts';
import { withQuantitiesAsText } from '../../../src/job/object-spec.ts';
import type { JobSpec } from '../../../src/job/spec.ts';
import { EDIT_REFUSED } from '../../../src/plan/intake.ts';
import type { ObservedStreamJob } from '../../../src/plan/stream-job.ts';
import { StoreError } from '../../../src/ports/store.ts';
import type { Backup } from '../../../src/ports/stream-jobs.fake.ts';
import { type Fault, MAX_WORKERS, World } from './stream-jobs-world.ts';

/**
 * Random lives of two StreamJobs: people with kubectl and the CLI, a GitOps tool, lost homes, restored backups, and two
 * replicas whose turns are late, cut short or meddled with. Whatever has happened, once it is over a few turns must
 * bring all to rest, and the store must have heard of what people did, once, and of nothing else.
 */

/** BULKHEAD_PROPERTY_RUNS asks for more; BULKHEAD_PROPERTY_SEED repeats. */
const RUNS = {
  numRuns: Number(process.env.BULKHEAD_PROPERTY_RUNS ?? 400),
  ...(process.env.BULKHEAD_PROPERTY_SEED && { seed: Number(process.env.BULKHEAD_PROPERTY_SEED) }),
};
const JOBS: readonly JobName[] = [
  { tenant: 'ads', name: 'clicks' },
  { tenant: 'ads', name: 'views' },
];
/** Rounds of turns that may still write something. */
const BOUND = 5;

const BY_KUBECTL = ['apply', 'gitops', 'edit', 'scale', 'delete'] as const;
const BY_CLI = ['cli apply', 'cli take over', 'cli delete', 'rollback'] as const;
const HOMES = ['delete namespace', 'delete kind', 'bring homes back', 'lose cluster', 'back up', 'restore'] as const;

interface Act {
  readonly what: (typeof BY_KUBECTL)[number] | (typeof BY_CLI)[number] | (typeof HOMES)[number];
  readonly job: number;
  /** What it is about, where it is about something. */
  readonly value: number;
}

interface Turns {
  readonly what: 'turns';
  readonly replica: number;
  readonly late: boolean;
  readonly faults: readonly {
    readonly write: number;
    readonly when: Fault['when'];
    readonly what: 'crash' | 'no answer' | Act;
  }[];
}

const act: fc.Arbitrary<Act> = fc.record({
  what: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...BY_KUBECTL) },
    { weight: 3, arbitrary: fc.constantFrom(...BY_CLI) },
    { weight: 2, arbitrary: fc.constantFrom(...HOMES) },
  ),
  job: fc.constantFrom(0, 0, 0, 1),
  value: fc.nat(4),
});

const fault = fc.record({
  write: fc.nat(6),
  when: fc.constantFrom('before' as const, 'after' as const),
  what: fc.oneof(fc.constant('crash' as const), fc.constant('no answer' as const), act),
});

const turns: fc.Arbitrary<Turns> = fc.record({
  what: fc.constant('turns' as const),
  replica: fc.nat(1),
  late: fc.boolean(),
  faults: fc.oneof(fc.constant([]), fc.array(fault, { minLength: 1, maxLength: 2 })),
});

const schedule = fc.array(fc.oneof(act, turns), { minLength: 1, maxLength: 14 });

const asText = (spec: unknown): string => canonicalJson(withQuantitiesAsText(spec as JobSpec));

/** A world and what people did in it. */
class Life {
  readonly world = new World(['ads']);
  /** Edits as the API server took them. */
  readonly edits: { readonly uid: string; readonly generation: number; readonly spec: string }[] = [];
  /** UIDs of what was deleted by a person while its home was there. */
  readonly deleted: string[] = [];
  #backup: Backup | null = null;
  #count = 0;

  get #server() {
    return this.world.server;
  }

  async run(steps: readonly (Act | Turns)[]): Promise<void> {
    for (const step of steps) {
      if (step.what !== 'turns') {
        this.act(step);
        continue;
      }
      const faults = step.faults.map(({ what, ...rest }): Fault => {
        return { ...rest, what: typeof what === 'object' ? () => this.act(what) : what };
      });
      await this.world.turns(step.replica, { late: step.late, faults });
    }
  }

  act({ what, job: index, value }: Act): void {
    const job = JOBS[index] as JobName;
    const number = ++this.#count;
    const user = `user-${number}`;
    const workers = value === 4 ? MAX_WORKERS + 1 : value + 1;
    const fresh: JobSpec = { container: { image: `registry.example/app:${number}` }, workers: { replicas: value + 1 } };
    const acts: Readonly<Record<Act['what'], () => void>> = {
      apply: () => this.#heard(job, () => this.#server.apply(job, fresh, { user, manager: 'kubectl' })),
      // The same thing over and over, as such a tool does.
      gitops: () => this.#heard(job, () => this.#server.apply(job, gitops(value), { user, manager: 'argocd' })),
      edit: () => this.edit(job, { replicas: workers }, user),
      scale: () => this.#heard(job, () => this.#server.scale(job, workers)),
      delete: () => this.delete(job),
      'cli apply': () => this.#byCli(job, fresh),
      'cli take over': () => this.#byCli(job, fresh, true),
      'cli delete': () => this.#byCli(job, null),
      rollback: () => this.#rollback(job, value),
      'delete namespace': () => this.#server.deleteNamespace(job.tenant),
      'delete kind': () => this.#server.deleteKind(),
      'bring homes back': () => this.bringHomesBack(),
      'lose cluster': () => this.#server.lose(),
      'back up': () => {
        this.#backup = this.#server.backup();
      },
      restore: () => {
        if (this.#backup) this.#server.restore(this.#backup);
      },
    };
    acts[what]();
  }

  edit(job: JobName, workers: JobSpec['workers'], user: string): void {
    const change = (spec: JobSpec): JobSpec => ({ ...spec, workers: { ...spec.workers, ...workers } });
    this.#heard(job, () => this.#server.edit(job, change, { user, manager: 'kubectl-edit' }));
  }

  delete(job: JobName): void {
    const isThere = this.#server.home(job.tenant) === 'there';
    const object = this.#server.delete(job);
    if (object && isThere) this.deleted.push(object.uid);
  }

  bringHomesBack(): void {
    this.#server.makeNamespace('ads');
    this.#server.installKind();
  }

  #heard(job: JobName, write: () => ObservedStreamJob | null): void {
    const before = this.#server.of(job);
    const after = write();
    if (!after || (before?.uid === after.uid && before.generation === after.generation)) return;
    this.edits.push({ uid: after.uid, generation: after.generation, spec: asText(after.spec) });
  }

  #byCli(job: JobName, spec: JobSpec | null, takeOver = false): void {
    const content = spec ? ({ kind: 'spec', spec } as const) : ({ kind: 'tombstone' } as const);
    const change = { job, content, ...(takeOver && { takeOver: true as const }) };
    try {
      this.world.goals.writeNow([change], { author: `cli-${this.#count}`, source: 'cli', reason: null });
    } catch (error) {
      // Others keep the fields: refused, as a person is told.
      if (!(error instanceof StoreError)) throw error;
    }
  }

  #rollback(job: JobName, value: number): void {
    const specs = this.world.history(job).flatMap(({ spec }) => spec ?? []);
    const spec = specs[value % Math.max(1, specs.length)];
    if (spec) this.#byCli(job, spec, true);
  }
}

const gitops = (value: number): JobSpec => ({
  container: { image: `registry.example/gitops:${value}` },
  ...(value % 2 === 0 && { suspended: true }),
});

/** What a schedule led to, once its homes are back and turns were taken. */
async function lived(steps: readonly (Act | Turns)[]): Promise<Life> {
  const life = new Life();
  await life.run(steps);
  await life.world.settle(BOUND);
  life.bringHomesBack();
  await life.world.settle(BOUND);
  return life;
}

const holds = (name: string, check: (life: Life) => void | Promise<void>): void => {
  test(name, async () => {
    await fc.assert(
      fc.asyncProperty(schedule, async (steps) => check(await lived(steps))),
      RUNS,
    );
  });
};

const readyOf = ({ status }: ObservedStreamJob) => status?.conditions.find(({ type }) => type === 'Ready');

const isExplained = (object: ObservedStreamJob): boolean => {
  const ready = readyOf(object);
  return ready?.reason === EDIT_REFUSED || (ready?.message.includes('which is not written here') ?? false);
};

function liveGoals({ world }: Life) {
  return JOBS.flatMap((job) => {
    const goal = world.goals.named(job);
    return goal && goal.content.kind !== 'tombstone' ? [goal] : [];
  });
}

holds('it comes to rest, also for the other replica: whoever fights over a spec would write for ever', async (life) => {
  await life.world.settle(BOUND, 1);
  assert.equal(await life.world.settle(0, 1), 0);
  assert.equal(await life.world.settle(0), 0);
});

holds('every live goal has its object, and spec says the goal unless its status says why not', (life) => {
  for (const goal of liveGoals(life)) {
    const object = life.world.server.of(goal.job);
    assert.ok(object, `${jobName(goal.job)} has no object`);
    const said = goal.layers.job.content;
    assert.ok(said.kind === 'spec');
    if (asText(object.spec) !== asText(said.spec)) assert.ok(isExplained(object), JSON.stringify({ object, said }));
  }
});

holds(
  'a revision by kubectl is an edit of a person, stored once: nothing else may look like a wish',
  ({ world, edits }) => {
    const left = edits.map(({ uid, generation, spec }) => `${uid}/${generation}/${spec}`);
    for (const { revisions } of world.goals.byId.values()) {
      for (const { content, source, idempotencyKey } of revisions) {
        if (source !== 'kubectl' || content.kind !== 'spec') continue;
        const [, uid, generation] = idempotencyKey?.split('/') ?? [];
        const at = left.indexOf(`${uid}/${generation}/${asText(content.spec)}`);
        assert.ok(at >= 0, `${idempotencyKey} is nobody's edit: ${asText(content.spec)}; left: ${left.join('\n')}`);
        left.splice(at, 1);
      }
    }
  },
);

holds(
  'a tombstone by kubectl is a deletion by a person whose home was there: losing a home removes nothing',
  (life) => {
    const left = [...life.deleted];
    for (const { revisions } of life.world.goals.byId.values()) {
      for (const { content, source, idempotencyKey } of revisions) {
        if (source !== 'kubectl' || content.kind !== 'tombstone') continue;
        const [, uid] = idempotencyKey?.split('/') ?? [];
        const at = left.indexOf(uid ?? '');
        assert.ok(at >= 0, `${idempotencyKey} is nobody's deletion`);
        left.splice(at, 1);
      }
    }
  },
);

holds(
  'nothing that is being deleted hangs, and no object outlives its job: a finalizer that stays is a stuck cluster',
  (life) => {
    const live = new Set(liveGoals(life).map(({ job }) => jobName(job)));
    for (const object of life.world.server.all()) {
      assert.equal(object.isDeleting, false);
      if (!live.has(jobName(object.job))) assert.ok(readyOf(object)?.reason === EDIT_REFUSED, JSON.stringify(object));
    }
  },
);

holds(
  'specRevision names what the spec holds and observedGeneration what was looked at: edits are based on them',
  (life) => {
    for (const { job } of liveGoals(life)) {
      const object = life.world.server.of(job);
      const { observedGeneration = 0, specRevision } = object?.status ?? {};
      assert.equal(observedGeneration, object?.generation);
      if (!object || specRevision === undefined || readyOf(object)?.reason === EDIT_REFUSED) continue;
      const held = life.world.history(job)[specRevision - 1];
      assert.equal(asText(held?.spec), asText(object.spec));
    }
  },
);

holds('an edit after all that is taken in as one revision, by whoever made it', async (life) => {
  for (const { job, revision } of liveGoals(life)) {
    life.edit(job, { replicas: 17 }, 'the last editor');
    await life.world.settle(BOUND);
    const history = life.world.history(job);
    assert.equal(history.length, revision + 1);
    assert.equal(history.at(-1)?.author, 'the last editor');
    assert.equal(life.world.server.of(job)?.status?.specRevision, revision + 1);
  }
});

holds(
  'a deletion after all that removes the job and lets the object go: it is a command whatever came before',
  async (life) => {
    for (const { job } of liveGoals(life)) life.delete(job);
    await life.world.settle(BOUND);
    assert.deepEqual(liveGoals(life), []);
    for (const object of life.world.server.all()) assert.equal(readyOf(object)?.reason, EDIT_REFUSED);
  },
);
