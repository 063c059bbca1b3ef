import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JobSpec } from '../../../src/job/spec.ts';
import { type Fault, World } from './stream-jobs-world.ts';

/** What random lives of StreamJobs (stream-jobs.properties.test.ts) came upon, each as the short story that it was. */

const JOB = { tenant: 'ads', name: 'clicks' };
const HAND = { user: 'ann', manager: 'kubectl' };
const image = (tag: string): JobSpec => ({ container: { image: `registry.example/app:${tag}` } });
const crash = (write: number, when: Fault['when']): Fault => ({ write, when, what: 'crash' });

const byCli = (world: World, spec: JobSpec | null): void => {
  const content = spec ? ({ kind: 'spec', spec } as const) : ({ kind: 'tombstone' } as const);
  world.goals.writeNow([{ job: JOB, content, takeOver: true }], { author: 'cli', source: 'cli', reason: null });
};

const tags = (world: World): (string | undefined)[] =>
  world.history(JOB).map(({ spec }) => spec?.container.image?.replace('registry.example/app:', ''));

const shown = (world: World): unknown => world.server.of(JOB)?.spec;

test('an edit that was stored before a crash, and overtaken by a CLI since, is not stored again over it', async () => {
  const world = new World(['ads']);
  world.server.apply(JOB, image('ann'), HAND);
  // The claim, then the goal; its answer is lost along with the process, before a status could name the job.
  await world.turns(0, { faults: [crash(1, 'after')] });
  byCli(world, image('cli'));
  await world.settle(3);
  assert.deepEqual(tags(world), ['ann', 'cli']);
});

test('an edit on the head that the goal has gone on from ends in a status, and not in writes with every turn', async () => {
  const world = new World(['ads']);
  byCli(world, image('first'));
  world.server.apply(JOB, image('ann'), HAND);
  // Of a job that is there: the claim, the same again to make sure of its version, the edit, and no status after it.
  await world.turns(0, { faults: [crash(2, 'after')] });
  assert.deepEqual(tags(world), ['first', 'ann']);
  byCli(world, image('second'));
  assert.ok((await world.settle(3)) <= 2);
  assert.deepEqual(tags(world), ['first', 'ann', 'second']);
  assert.deepEqual(shown(world), image('second'));
});

test('a deletion that is seen late, after its namespace went and was made again, removes nothing', async () => {
  const world = new World(['ads']);
  world.server.apply(JOB, image('ann'), HAND);
  await world.settle(3);
  world.server.deleteNamespace('ads');
  // This replica sees the deletion and dies before it lets go; the other one lets go, and puts it all back.
  await world.turns(0, { faults: [{ write: 0, when: 'before', what: 'no answer' }] });
  await world.turns(1);
  await world.turns(1);
  assert.equal(world.server.home('ads'), 'there');
  await world.turns(0, { late: true });
  await world.settle(3);
  assert.deepEqual(tags(world), ['ann']);
  assert.deepEqual(shown(world), image('ann'));
});

test('the object of a job that was removed before its status named that one does not bring it back', async () => {
  const world = new World(['ads']);
  byCli(world, image('cli'));
  await world.turns(0, { faults: [crash(0, 'after')] });
  assert.equal(world.server.of(JOB)?.status, null);
  byCli(world, null);
  await world.settle(3);
  assert.deepEqual(tags(world), ['cli', undefined]);
  assert.equal(world.server.of(JOB), null);
});

test('an edit that a restored etcd gives the generation of an earlier one is an edit of its own', async () => {
  const world = new World(['ads']);
  byCli(world, image('first'));
  world.server.apply(JOB, image('ann'), HAND);
  const backup = world.server.backup();
  const edit = (tag: string) => world.server.edit(JOB, () => image(tag), HAND);
  edit('before');
  await world.settle(3);
  world.server.restore(backup);
  edit('after');
  await world.settle(3);
  assert.deepEqual(tags(world), ['first', 'before', 'after']);
  assert.deepEqual(shown(world), image('after'));
});

test('who deletes what a restored etcd brought back means it, though that object was deleted once before', async () => {
  const world = new World(['ads']);
  world.server.apply(JOB, image('ann'), HAND);
  await world.settle(3);
  const backup = world.server.backup();
  world.server.delete(JOB);
  await world.settle(3);
  byCli(world, image('ann'));
  world.server.restore(backup);
  await world.settle(3);
  world.server.delete(JOB);
  await world.settle(3);
  assert.deepEqual(tags(world), ['ann', undefined, 'ann', undefined]);
  assert.equal(world.server.of(JOB), null);
});

test('a deletion that was stored before a crash is not stored again once the job is wanted again', async () => {
  const world = new World(['ads']);
  world.server.apply(JOB, image('ann'), HAND);
  await world.settle(3);
  world.server.delete(JOB);
  await world.turns(0, { faults: [crash(1, 'after')] });
  assert.deepEqual(tags(world), ['ann', undefined]);
  byCli(world, image('again'));
  await world.settle(3);
  assert.deepEqual(tags(world), ['ann', undefined, 'again']);
  assert.deepEqual(shown(world), image('again'));
});

test('a GitOps tool that applies the same thing over and over meets no writes of ours', async () => {
  const world = new World(['ads']);
  const argo = { user: 'argo', manager: 'argocd' };
  world.server.apply(JOB, image('git'), argo);
  await world.settle(3);
  const { writes } = world.server;
  for (let time = 0; time < 10; time += 1) {
    world.server.apply(JOB, image('git'), argo);
    await world.turns(time % 2);
  }
  assert.equal(world.server.writes, writes);
  assert.deepEqual(tags(world), ['git']);
});
