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
import { FENCE_A, JOB_A } from '../../support/goals.ts';
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
  epochs: ReadonlyMap<Shard, Epoch> = new Map();

  async read(): Promise<ReadonlyMap<Shard, Epoch>> {
    return this.epochs;
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
  const ahead = new Map<Shard, Epoch>();
  const log = new MemoryLog();
  const fence = new FakeFence();
  const activation = new Activation({
    controller: {
      activate: async (_cluster, shards) => void story.push(`act ${shards.join(' ')}`),
      deactivate: (shards) => void story.push(`stop ${shards?.join(' ') ?? 'all'}`),
    },
    store: {
      followsFence: async () => false,
      behindShards: async (shards) => new Map([...ahead].filter(([shard]) => shards.includes(shard))),
      recordBehind: async (behind) => {
        for (const { fence: it, found } of behind) ahead.set(it.shard, found);
      },
      holding: async (fences) => options.holding?.(fences) ?? [...fences],
    },
    onFenced: ({ shard: refused }) => story.push(`fenced ${refused}`),
    log,
    withhold: async (fences, _id, { reason }) => void story.push(`${reason} ${fences.map((f) => f.shard).join(' ')}`),
    outage: new Outage('the cluster', log),
  });
  const cluster: ReadyCluster = { clusterId: CLUSTER, cell: new FakeCluster(), jobsSeen: () => [], fence };
  const told = (line: string) => until(line, 5_000, () => story.includes(line));
  return { activation, story, log, fence, cluster, told, ahead, [Symbol.dispose]: () => activation.close() };
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
  assert.match(it.activation.hindrance ?? '', /^FenceMissing: apply manifests/);
  await until('it was tried again', 5_000, () => it.fence.raises >= 2);
  it.fence.error = null;
  await it.told('act 1');
  assert.deepEqual(it.story, ['FenceMissing 1', 'act 1']);
  assert.equal(it.activation.hindrance, null);
  const said = it.log.lines.map(({ level, message }) => `${level} ${message}`);
  assert.deepEqual(said, ['error FenceMissing: apply manifests/admission', 'info FenceMissing is over']);
});

test('a store that has seen less than the cluster waits for a person; its other shards go on', async () => {
  using it = activationOn();
  it.fence.behind = [shard(1)];
  it.activation.connected(it.cluster);
  it.activation.gained([fenceOf(1), fenceOf(2)]);
  await it.told('StoreBehind 1');
  assert.deepEqual(it.story, ['act 2', 'StoreBehind 1']);
  assert.match(it.activation.hindrance ?? '', /bulkhead store confirm/);
});

test('a fence that is ahead because another replica has the shard by now is no condition: the shard is lost', async () => {
  using it = activationOn({ holding: () => [] });
  it.fence.behind = [shard(1)];
  it.activation.connected(it.cluster);
  it.activation.gained([fenceOf(1)]);
  await it.told('fenced 1');
  assert.ok(!it.activation.hindrance?.includes('StoreBehind'));
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

test('a shard that was once found behind stays so until a person confirms it, whatever it is claimed under', async () => {
  using it = activationOn();
  it.ahead.set(shard(1), AHEAD);
  it.activation.connected(it.cluster);
  it.activation.gained([{ ...fenceOf(1), epoch: { ...FENCE_A.epoch, n: 99 } }]);
  await it.told('StoreBehind 1');
  it.ahead.clear();
  await it.told('act 1');
});

test('while shards that are ours are not acted for, it says why: a right that is missing, or a cluster that fails', async () => {
  using it = activationOn();
  it.fence.error = new ClusterError('unavailable', 'GET …/bulkhead-fence: 500');
  it.activation.connected(it.cluster);
  it.activation.gained([fenceOf(1)]);
  await until('it was tried', 1_000, () => it.fence.raises > 0);
  await until('it says so', 1_000, () => it.activation.hindrance?.includes('500'));
  it.fence.error = new ClusterError('forbidden', 'configmaps is forbidden');
  await it.told('FenceMissing 1');
  assert.match(it.activation.hindrance ?? '', /configmaps is forbidden/);
});

test('a job that changes while its shard is withheld is told why, too', async () => {
  using it = activationOn();
  it.fence.error = new ClusterError('unfenced', 'apply manifests/admission');
  it.activation.connected(it.cluster);
  it.activation.gained([{ ...FENCE_A }]);
  await it.told(`FenceMissing ${FENCE_A.shard}`);
  it.activation.changed(JOB_A);
  await until('it is told again', 5_000, () => it.story.length === 2);
});

test('a refused write is looked into: the shard starts anew where the fence names another epoch or none, else it goes on', async () => {
  using it = activationOn();
  it.activation.connected(it.cluster);
  it.activation.gained([FENCE_A]);
  await it.told(`act ${FENCE_A.shard}`);
  it.fence.epochs = new Map([[FENCE_A.shard, FENCE_A.epoch]]);
  it.activation.check(FENCE_A);
  await sleep(5);
  assert.equal(it.story.length, 1, 'the object is in disorder, not the shard');
  it.fence.epochs = new Map();
  it.activation.check(FENCE_A);
  await it.told(`stop ${FENCE_A.shard}`);
  await until('the fence is raised again', 1_000, () => it.fence.raises === 2);
});

test('after a stop nothing is begun, though a raise was under way', async () => {
  using it = activationOn();
  const gate = Promise.withResolvers<void>();
  it.fence.gate = gate.promise;
  it.activation.connected(it.cluster);
  it.activation.gained([fenceOf(1)]);
  await until('the raise is under way', 1_000, () => it.fence.raises === 1);
  it.activation.close();
  gate.resolve();
  await sleep(5);
  assert.deepEqual(it.story, []);
});
