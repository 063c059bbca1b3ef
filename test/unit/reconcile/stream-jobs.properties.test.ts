import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { jobName } from '../../../src/job/ids.ts';
import { EDIT_REFUSED } from '../../../src/plan/intake.ts';
import type { ObservedStreamJob } from '../../../src/plan/stream-job.ts';
import { type Act, asText, JOBS, Life, schedule, type Turns } from './stream-jobs-life.ts';

/**
 * Random lives of two StreamJobs: people with kubectl and the CLI, a GitOps tool, lost homes, restored backups, and two
 * replicas whose turns are late, cut short or meddled with. Whatever has happened, once it is over a few turns must
 * bring all to rest, and the store must have heard of what people did, once, and of nothing else.
 */

/** BULKHEAD_PROPERTY_RUNS asks for more; BULKHEAD_PROPERTY_SEED repeats. */
const RUNS = {
  numRuns: Number(process.env.BULKHEAD_PROPERTY_RUNS ?? 250),
  ...(process.env.BULKHEAD_PROPERTY_SEED && { seed: Number(process.env.BULKHEAD_PROPERTY_SEED) }),
};
/** Rounds of turns that may still write something. */
const BOUND = 5;
/** What a status says of a goal that others keep from being written. */
const NOT_WRITTEN = 'which is not written here';

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
  return ready?.reason === EDIT_REFUSED || (ready?.message.includes(NOT_WRITTEN) ?? false);
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
    const object = life.world.server.of(job);
    const isKept = object !== null && readyOf(object)?.message.includes(NOT_WRITTEN);
    life.edit(job, { replicas: 17 }, 'the last editor');
    await life.world.settle(BOUND);
    if (isKept) {
      // Others keep an older revision here: this edit was made from that one, which is said, and made again it counts.
      assert.equal(life.world.history(job).length, revision);
      assert.equal(life.world.server.told.at(-1)?.reason, 'Overruled');
      life.edit(job, { replicas: 18 }, 'the last editor');
      await life.world.settle(BOUND);
    }
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
