import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Epoch } from '../../../src/job/epoch.ts';
import { clusterId, type Shard, shard } from '../../../src/job/ids.ts';
import { FakeCluster } from '../../../src/ports/cluster.fake.ts';
import { ClusterError, type EpochFence } from '../../../src/ports/cluster.ts';
import type { Fence } from '../../../src/ports/shards.ts';
import { Activation, type ReadyCluster } from '../../../src/reconcile/activation.ts';
import { Outage } from '../../../src/reconcile/outage.ts';
import { FENCE_A } from '../../support/goals.ts';
import { MemoryLog } from '../../support/log.ts';
import { until } from '../../support/until.ts';

const CLUSTER = clusterId('00000000-0000-4000-8000-0000000000cc');
const fenceOf = (number: number): Fence => ({ ...FENCE_A, shard: shard(number) });
const AHEAD: Epoch = { ...FENCE_A.epoch, n: 9 };

/** A fence in a cluster that does what a test says. */
class FakeFence implements EpochFence {
  error: Error | null = null;
  behind: readonly Shard[] = [];
  gate: Promise<void> = Promise.resolve();
  raises = 0;

  async read(): Promise<ReadonlyMap<Shard, Epoch>> {
    return new Map();
  }

  async raise(fences: readonly Fence[]) {
    this.raises += 1;
    await this.gate;
    if (this.error) throw this.error;
    return {
      raised: fences.filter((fence) => !this.behind.includes(fence.shard)),
      behind: fences.filter((fence) => this.behind.includes(fence.shard)).map((fence) => ({ fence, found: AHEAD })),
    };
  }
}

function activationOn(options: { readonly holding?: (fences: readonly Fence[]) => Fence[] } = {}) {
  const story: string[] = [];
  const fence = new FakeFence();
  const activation = new Activation({
    controller: {
      activate: async (_cluster, shards) => void story.push(`act ${shards.join(' ')}`),
      deactivate: (shards) => void story.push(`stop ${shards?.join(' ') ?? 'all'}`),
    },
    store: {
      followsSystem: async () => false,
      holding: async (fences) => options.holding?.(fences) ?? [...fences],
    },
    onFenced: ({ shard: refused }) => story.push(`fenced ${refused}`),
    withhold: async (fences, _id, { reason }) => void story.push(`${reason} ${fences.map((f) => f.shard).join(' ')}`),
    outage: new Outage('the cluster', new MemoryLog()),
  });
  const cluster: ReadyCluster = { clusterId: CLUSTER, cell: new FakeCluster(), jobsSeen: () => [], fence };
  const told = (line: string) => until(line, 5_000, () => story.includes(line));
  return { activation, story, fence, cluster, told, [Symbol.dispose]: () => activation.close() };
}

test('it takes both: a shard that is ours, and a cluster whose fence is raised, whichever comes first', async () => {
  using it = activationOn();
  it.activation.gained([fenceOf(1)]);
  await sleep(5);
  assert.deepEqual(it.story, []);
  it.activation.connected(it.cluster);
  await it.told('act 1');
  it.activation.gained([fenceOf(2)]);
  await it.told('act 2');
  assert.equal(it.activation.activeCount, 2);
});

test('a shard that is lost while its fence is being raised is not acted for', async () => {
  using it = activationOn();
  const gate = Promise.withResolvers<void>();
  it.fence.gate = gate.promise;
  it.activation.connected(it.cluster);
  it.activation.gained([fenceOf(1), fenceOf(2)]);
  await until('the raise is under way', 1_000, () => it.fence.raises === 1);
  it.activation.lost([shard(1)]);
  gate.resolve();
  await it.told('act 2');
  assert.ok(!it.story.some((line) => line.startsWith('act 1')));
});

test('a connection that ends takes all activity along; the next one raises the fence again before anything is done', async () => {
  using it = activationOn();
  it.activation.connected(it.cluster);
  it.activation.gained([fenceOf(1)]);
  await it.told('act 1');
  it.activation.disconnected();
  it.activation.connected(it.cluster);
  await until('it acts again', 1_000, () => it.story.filter((line) => line === 'act 1').length === 2);
  assert.deepEqual([it.story, it.fence.raises], [['act 1', 'stop all', 'act 1'], 2]);
});

test('without the policy nothing is written: each job is told once, and it goes on when the policy is there', async () => {
  using it = activationOn();
  it.fence.error = new ClusterError('unfenced', 'apply manifests/admission');
  it.activation.connected(it.cluster);
  it.activation.gained([fenceOf(1)]);
  await it.told('FenceMissing 1');
  assert.equal(it.activation.hindrance?.reason, 'FenceMissing');
  await until('it was tried again', 5_000, () => it.fence.raises >= 2);
  it.fence.error = null;
  await it.told('act 1');
  assert.deepEqual(it.story, ['FenceMissing 1', 'act 1']);
  assert.equal(it.activation.hindrance, null);
});

test('a store that has seen less than the cluster waits for a person; its other shards go on', async () => {
  using it = activationOn();
  it.fence.behind = [shard(1)];
  it.activation.connected(it.cluster);
  it.activation.gained([fenceOf(1), fenceOf(2)]);
  await it.told('StoreBehind 1');
  assert.deepEqual(it.story, ['act 2', 'StoreBehind 1']);
  assert.match(it.activation.hindrance?.why ?? '', /bulkhead store confirm/);
});

test('a fence that is ahead because another replica has the shard by now is no condition: the shard is lost', async () => {
  using it = activationOn({ holding: () => [] });
  it.fence.behind = [shard(1)];
  it.activation.connected(it.cluster);
  it.activation.gained([fenceOf(1)]);
  await it.told('fenced 1');
  assert.equal(it.activation.hindrance, null);
});

test('of a cluster that is not the jobs’ every job is told, also those that come later', async () => {
  using it = activationOn();
  it.activation.gained([fenceOf(1)]);
  it.activation.refused(CLUSTER, { reason: 'ClusterChanged', why: 'another cluster' });
  await it.told('ClusterChanged 1');
  it.activation.gained([fenceOf(2)]);
  await it.told('ClusterChanged 2');
  assert.equal(it.fence.raises, 0);
});
