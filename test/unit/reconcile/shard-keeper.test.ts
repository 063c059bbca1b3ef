import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Shard, shard } from '../../../src/job/ids.ts';
import type { Fence, ReplicaInfo, ShardLeases, Standing } from '../../../src/ports/shards.ts';
import { Outage } from '../../../src/reconcile/outage.ts';
import { ShardKeeper } from '../../../src/reconcile/shard-keeper.ts';
import { FENCE_A, REPLICA } from '../../support/goals.ts';
import { MemoryLog } from '../../support/log.ts';
import { until } from '../../support/until.ts';

const TIMING = { ttlMs: 150, renewEveryMs: 20 };

const fenceOf = (number: number, n = 1): Fence => ({
  ...FENCE_A,
  shard: shard(number),
  epoch: { ...FENCE_A.epoch, n },
});

/** Leases that answer what a test says. */
class FakeLeases implements ShardLeases {
  standing: Standing = { fences: [], surplus: 0, replicas: 1 };
  error: Error | null = null;
  readonly yielded: Shard[] = [];
  left = false;

  async heartbeat(): Promise<Standing> {
    if (this.error) throw this.error;
    return this.standing;
  }

  async yieldShards(_replica: unknown, shards: readonly Shard[]): Promise<void> {
    this.yielded.push(...shards);
    this.standing = {
      ...this.standing,
      fences: this.standing.fences.filter((fence) => !shards.includes(fence.shard)),
      surplus: 0,
    };
  }

  async leave(): Promise<void> {
    this.left = true;
  }

  async replicas(): Promise<ReplicaInfo[]> {
    return [];
  }

  async holding(fences: readonly Fence[]): Promise<Fence[]> {
    return [...fences];
  }
}

function keeperOn(leases: FakeLeases, drained: Promise<void> = Promise.resolve(), timing = TIMING) {
  const log = new MemoryLog();
  const story: string[] = [];
  const keeper = new ShardKeeper({
    leases,
    replica: { id: REPLICA, name: 'test' },
    clusterId: () => null,
    outage: new Outage('the goal store', log),
    log,
    timing,
  });
  const stop = new AbortController();
  const handlers = {
    onGained: (fences: readonly Fence[]) =>
      story.push(`gained ${fences.map((f) => `${f.shard}@${f.epoch.n}`).join(' ')}`),
    onLost: (shards: readonly Shard[]) => story.push(`lost ${shards.join(' ')}`),
    beforeYield: async (shards: readonly Shard[]) => {
      story.push(`drain ${shards.join(' ')}`);
      await drained;
    },
  };
  const running = keeper.run(handlers, stop.signal);
  const end = async () => {
    stop.abort();
    await running;
  };
  return { keeper, story, handlers, end, [Symbol.asyncDispose]: end };
}

test('shards that the store gives are ours, each under its epoch', async () => {
  const leases = new FakeLeases();
  leases.standing = { fences: [fenceOf(1), fenceOf(2)], surplus: 0, replicas: 1 };
  await using it = keeperOn(leases);
  await until('they are gained', 1_000, () => it.story.length > 0);
  assert.deepEqual(it.story, ['gained 1@1 2@1']);
  assert.deepEqual([it.keeper.fence(shard(1)), it.keeper.fence(shard(3))], [fenceOf(1), null]);
});

test('when the store falls silent, all is dropped at the end of the lease, by our own monotonic clock', async () => {
  const leases = new FakeLeases();
  leases.standing = { fences: [fenceOf(1)], surplus: 0, replicas: 1 };
  await using it = keeperOn(leases);
  await until('it is gained', 1_000, () => it.story.length > 0);
  leases.error = new Error('silent');
  await until('it is lost', 1_000, () => it.story.includes('lost 1'));
  assert.equal(it.keeper.fence(shard(1)), null);
});

test('a shard that comes back under another epoch was somebody else’s in between: lost, then gained', async () => {
  const leases = new FakeLeases();
  leases.standing = { fences: [fenceOf(1, 1)], surplus: 0, replicas: 1 };
  await using it = keeperOn(leases);
  await until('it is gained', 1_000, () => it.story.length > 0);
  leases.standing = { fences: [fenceOf(1, 3)], surplus: 0, replicas: 1 };
  await until('it is gained anew', 1_000, () => it.story.length >= 3);
  assert.deepEqual(it.story, ['gained 1@1', 'lost 1', 'gained 1@3']);
});

test('a surplus is given back in good order: first idle, then drained, then free for others; shard 0 goes last', async () => {
  const leases = new FakeLeases();
  leases.standing = { fences: [fenceOf(0), fenceOf(1), fenceOf(2)], surplus: 2, replicas: 2 };
  const drained = Promise.withResolvers<void>();
  await using it = keeperOn(leases, drained.promise);
  await until('it is draining', 1_000, () => it.story.some((line) => line.startsWith('drain')));
  await sleep(3 * TIMING.renewEveryMs);
  assert.deepEqual(it.story, ['gained 0@1 1@1 2@1', 'lost 2 1', 'drain 2 1'], 'heartbeats go on and change nothing');
  assert.deepEqual(it.keeper.fences(), [fenceOf(0)]);
  assert.deepEqual(it.keeper.fence(shard(1)), fenceOf(1), 'what ends now can still be recorded');
  assert.deepEqual(leases.yielded, []);
  drained.resolve();
  await until('they are given back', 1_000, () => leases.yielded.length === 2);
  await sleep(3 * TIMING.renewEveryMs);
  assert.deepEqual([it.keeper.fence(shard(1)), it.story.length], [null, 3]);
});

test('what is being given back is not taken up again by an answer that comes late, also past the end of the lease', async () => {
  const leases = new FakeLeases();
  leases.standing = { fences: [fenceOf(0), fenceOf(1)], surplus: 1, replicas: 2 };
  const drained = Promise.withResolvers<void>();
  await using it = keeperOn(leases, drained.promise);
  await until('it is draining', 1_000, () => it.story.some((line) => line.startsWith('drain')));
  leases.error = new Error('silent');
  await until('the lease is over', 1_000, () => it.story.some((line) => line.startsWith('lost 0')));
  leases.error = null;
  await until('shard 0 is back', 1_000, () => it.story.filter((line) => line.startsWith('gained')).length === 2);
  assert.equal(it.story.at(-1), 'gained 0@1');
  drained.resolve();
});

test('a refused fence is lost at once; one of an earlier epoch changes nothing', async () => {
  const leases = new FakeLeases();
  leases.standing = { fences: [fenceOf(1, 2)], surplus: 0, replicas: 1 };
  await using it = keeperOn(leases);
  await until('it is gained', 1_000, () => it.story.length > 0);
  leases.standing = { fences: [], surplus: 0, replicas: 1 };
  it.keeper.lost(fenceOf(1, 1), it.handlers);
  assert.notEqual(it.keeper.fence(shard(1)), null);
  it.keeper.lost(fenceOf(1, 2), it.handlers);
  assert.equal(it.keeper.fence(shard(1)), null);
});

test('a hint that shards are free brings the next heartbeat at once', async () => {
  const leases = new FakeLeases();
  await using it = keeperOn(leases, Promise.resolve(), { ttlMs: 10_000, renewEveryMs: 5_000 });
  await sleep(20);
  leases.standing = { fences: [fenceOf(1)], surplus: 0, replicas: 1 };
  it.keeper.hurry();
  await until('it is gained', 1_000, () => it.story.length > 0);
});

test('leaving gives everything back, and a late heartbeat takes nothing up again', async () => {
  const leases = new FakeLeases();
  leases.standing = { fences: [fenceOf(1)], surplus: 0, replicas: 1 };
  const it = keeperOn(leases);
  await until('it is gained', 1_000, () => it.story.length > 0);
  await it.end();
  await it.keeper.leave();
  assert.deepEqual([leases.left, it.keeper.fences()], [true, []]);
});
