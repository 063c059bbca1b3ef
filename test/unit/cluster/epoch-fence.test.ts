import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KubernetesFence } from '../../../src/cluster/epoch-fence.ts';
import { decodeFence, encodeFence } from '../../../src/cluster/epoch-fence-data.ts';
import type { Caller, CallOptions } from '../../../src/cluster/transport.ts';
import type { Epoch } from '../../../src/job/epoch.ts';
import { SHARD_COUNT, type Shard, shard } from '../../../src/job/ids.ts';
import { ANNOTATIONS } from '../../../src/plan/objects.ts';
import { ClusterError } from '../../../src/ports/cluster.ts';
import { FENCE_A, OTHER_STORE, STORE } from '../../support/goals.ts';

/** Raising the fence when the API server's cache lags and others get in between: what a real one does too seldom. */

const epoch = fc.record(
  {
    system: fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }).map(String),
    timeline: fc.integer({ min: 1, max: 1_000_000 }),
    n: fc.integer({ min: 1, max: 1_000_000 }),
  },
  { noNullPrototype: true },
);
const epochs = fc
  .dictionary(fc.integer({ min: 0, max: SHARD_COUNT - 1 }).map(String), epoch)
  .map((byShard) => new Map<Shard, Epoch>(Object.entries(byShard).map(([key, value]) => [shard(Number(key)), value])));

test('what is written into the fence is read back, and nothing of another store', () => {
  fc.assert(
    fc.property(epochs, epochs, (mine, theirs) => {
      const data = { [STORE]: encodeFence(mine), [OTHER_STORE]: encodeFence(theirs) };
      const state = decodeFence(STORE, { metadata: { resourceVersion: '7' }, data });
      assert.deepEqual([state.resourceVersion, state.epochs], ['7', new Map([...mine].sort(([a], [b]) => a - b))]);
    }),
  );
});

const OURS = { ...FENCE_A.epoch, n: 5 };
const MINE = { ...FENCE_A, epoch: OURS };
const never = async (): Promise<boolean> => false;

interface Script {
  /** How many probes the policy still answers by what the fence said before. */
  readonly lag: number;
  readonly meanwhile?: (cluster: ScriptedCluster) => void;
}

/** An API server with one ConfigMap and a policy that learns of it late. */
class ScriptedCluster implements Caller {
  text: string;
  patches = 0;
  probes = 0;
  #version = 1;
  readonly #seen: string;
  readonly #script: Script;

  constructor(before: ReadonlyMap<Shard, Epoch>, script: Script) {
    this.text = encodeFence(before);
    this.#seen = this.text;
    this.#script = script;
  }

  put(fence: ReadonlyMap<Shard, Epoch>): void {
    this.text = encodeFence(fence);
    this.#version += 1;
  }

  async call(method: string, _path: string, { body }: CallOptions = {}): Promise<unknown> {
    if (method === 'PATCH')
      this.#patch(body as { metadata: { resourceVersion: string }; data: Record<string, string> });
    if (method === 'POST') this.#probe(body as { metadata: { annotations: Record<string, string> } });
    return { metadata: { resourceVersion: String(this.#version) }, data: { [STORE]: this.text } };
  }

  #patch({ metadata, data }: { metadata: { resourceVersion: string }; data: Record<string, string> }): void {
    this.patches += 1;
    if (this.patches === 1) this.#script.meanwhile?.(this);
    if (metadata.resourceVersion !== String(this.#version)) throw new ClusterError('conflict', 'changed');
    this.text = data[STORE] ?? '';
    this.#version += 1;
  }

  #probe({ metadata }: { metadata: { annotations: Record<string, string> } }): void {
    this.probes += 1;
    const known = this.probes > this.#script.lag ? this.text : this.#seen;
    if (!known.split('\n').includes(metadata.annotations[ANNOTATIONS.epoch] ?? ''))
      throw new ClusterError('fenced', 'no');
  }
}

const at = (n: number) => new Map([[FENCE_A.shard, { ...OURS, n }]]);

test('a raise waits until the policy refuses the former epoch and takes the new one', async () => {
  const cluster = new ScriptedCluster(at(4), { lag: 4 });
  const result = await new KubernetesFence(cluster, STORE).raise([MINE], never);
  assert.deepEqual([result, cluster.patches], [{ raised: [MINE], behind: [] }, 1]);
  assert.equal(cluster.probes, 6, 'four were answered from the past, then each epoch once');
});

test('a raise that loses a race looks again: what got ahead meanwhile is said as ahead', async () => {
  const cluster = new ScriptedCluster(at(4), { lag: 0, meanwhile: (it) => it.put(at(9)) });
  const result = await new KubernetesFence(cluster, STORE).raise([MINE], never);
  assert.deepEqual(result, { raised: [], behind: [{ fence: MINE, found: { ...OURS, n: 9 } }] });
  assert.equal(cluster.probes, 0, 'nothing is ours, so there is nothing to prove');
});

test('another store’s raise in between is only a reason to try again', async () => {
  const cluster = new ScriptedCluster(at(4), { lag: 0, meanwhile: (it) => it.put(at(4)) });
  const result = await new KubernetesFence(cluster, STORE).raise([MINE], never);
  assert.deepEqual([result.raised, cluster.patches], [[MINE], 2]);
});

test('a fence that moves on during the proof is not ours any more', async () => {
  const cluster = new ScriptedCluster(at(4), { lag: 0 });
  const call = cluster.call.bind(cluster);
  cluster.call = async (method, path, options) => {
    if (method === 'POST' && cluster.probes === 1) cluster.put(at(6));
    return call(method, path, options);
  };
  const result = await new KubernetesFence(cluster, STORE).raise([MINE], never);
  assert.deepEqual(result, { raised: [], behind: [{ fence: MINE, found: { ...OURS, n: 6 } }] });
});

test('a proof that gets no answer proves nothing: the error goes to the caller', async () => {
  const cluster = new ScriptedCluster(at(4), { lag: 0 });
  const call = cluster.call.bind(cluster);
  cluster.call = async (method, path, options) => {
    if (method === 'POST') throw new ClusterError('unavailable', 'no answer in time');
    return call(method, path, options);
  };
  await assert.rejects(new KubernetesFence(cluster, STORE).raise([MINE], never), { kind: 'unavailable' });
});

test('nothing to raise asks nobody', async () => {
  const cluster: Caller = { call: () => assert.fail('a call') };
  assert.deepEqual(await new KubernetesFence(cluster, STORE).raise([], never), { raised: [], behind: [] });
});
