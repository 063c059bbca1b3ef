import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { KubernetesFence } from '../../src/cluster/epoch-fence.ts';
import { KubernetesExecutor } from '../../src/cluster/executor.ts';
import { readTarget } from '../../src/cluster/target.ts';
import { Transport } from '../../src/cluster/transport.ts';
import { effectiveSpec } from '../../src/job/defaults.ts';
import type { Epoch } from '../../src/job/epoch.ts';
import { jobId, replicaId, revision, type Shard, type StoreId, shardOf, storeId } from '../../src/job/ids.ts';
import type { ClusterAction } from '../../src/plan/actions.ts';
import { type CellKind, type KubeObject, keyOf, type ObjectKey, type ObservedObject } from '../../src/plan/objects.ts';
import { renderCell } from '../../src/plan/render/cell.ts';
import { ClusterError, type ClusterErrorKind } from '../../src/ports/cluster.ts';
import type { Fence } from '../../src/ports/shards.ts';
import type { LocalCluster } from '../cluster/types.ts';

export const SYSTEM = '7000000000000000001';
const REPLICA = replicaId(randomUUID());

/** A fence as a replica holds it: of a database that a test invents. */
export const fenceOf = (shard: Shard, epoch: Partial<Epoch> = {}): Fence => ({
  replica: REPLICA,
  shard,
  epoch: { system: SYSTEM, timeline: 1, n: 1, ...epoch },
});

/** As the cluster's administrator, whom the fence binds like everybody else. */
export async function asAdministrator(cluster: Pick<LocalCluster, 'kubeconfigPath' | 'context'>): Promise<Transport> {
  return new Transport(await readTarget({ kubeconfig: cluster.kubeconfigPath, context: cluster.context }));
}

/** No person has confirmed anything. */
export const unconfirmed = async (): Promise<boolean> => false;

/** One job's cell in a store of its own, written by the real executor under fences that a test makes by hand. */
export class FencedCell {
  readonly storeId: StoreId = storeId(randomUUID());
  readonly jobId = jobId(randomUUID());
  readonly shard: Shard = shardOf(this.jobId);
  readonly api: Transport;
  readonly fence: KubernetesFence;
  readonly executor: KubernetesExecutor;

  constructor(api: Transport) {
    this.api = api;
    this.fence = new KubernetesFence(api, this.storeId);
    this.executor = new KubernetesExecutor(api);
  }

  at(n: number): Fence {
    return fenceOf(this.shard, { n });
  }

  async raise(n: number): Promise<Fence> {
    const { raised } = await this.fence.raise([this.at(n)], unconfirmed);
    assert.equal(raised.length, 1);
    return this.at(n);
  }

  /** What the goal asks for, walls before workers. */
  wanted(image = 'app:1'): KubeObject[] {
    const job = { tenant: 'ads', name: 'clicks', id: this.jobId };
    const container = { image, ports: [{ name: 'http', port: 8080 }] };
    const spec = effectiveSpec({ container, workers: { replicas: 1 } });
    return renderCell({ storeId: this.storeId, job, revision: revision(1), spec });
  }

  key(kind: CellKind): ObjectKey {
    const object = this.wanted().find((candidate) => candidate.kind === kind);
    if (!object) throw new Error(`a cell has no ${kind}`);
    return keyOf(object);
  }

  create(object: KubeObject, fence: Fence): Promise<KubeObject | null> {
    return this.executor.execute({ do: 'create', object, goalHash: '', why: 'test' }, fence);
  }

  async createAll(fence: Fence): Promise<void> {
    for (const object of this.wanted()) await this.create(object, fence);
  }

  /** A replacement with one label more, so that there is something to write. */
  replace(object: ObservedObject, fence: Fence): Promise<KubeObject | null> {
    const { metadata } = object;
    const changed = { ...object, metadata: { ...metadata, labels: { ...metadata.labels, touched: 'yes' } } };
    return this.executor.execute({ do: 'replace', object: changed, goalHash: '', why: 'test' }, fence);
  }

  /** Whatever a controller does to its version in between, as a later turn of the reconciler would. */
  async replaceNow(kind: CellKind, fence: Fence): Promise<KubeObject | null> {
    for (;;) {
      try {
        return await this.replace(await this.read(kind), fence);
      } catch (error) {
        if (!(error instanceof ClusterError) || error.kind !== 'conflict') throw error;
      }
    }
  }

  remove(object: ObservedObject, fence: Fence): Promise<KubeObject | null> {
    return this.executor.execute(deletion(object), fence);
  }

  async read(kind: CellKind): Promise<ObservedObject> {
    const object = await this.executor.read(this.key(kind));
    if (!object) throw new Error(`${kind} is not there`);
    return object;
  }
}

/** As the plan has it: a Namespace by UID alone, since its controllers move its version. */
export const deletion = (object: ObservedObject): Extract<ClusterAction, { do: 'delete' }> => ({
  do: 'delete',
  key: keyOf(object),
  uid: object.metadata.uid,
  resourceVersion: object.kind === 'Namespace' ? null : object.metadata.resourceVersion,
  why: 'test',
});

/** Counts attempts that must be refused. */
export class Refusals {
  count = 0;

  /** @returns what the API server said */
  async expect(kind: ClusterErrorKind, work: () => Promise<unknown>): Promise<string> {
    try {
      await work();
    } catch (error) {
      assert.ok(error instanceof ClusterError, String(error));
      assert.equal(error.kind, kind, error.message);
      this.count += 1;
      return error.message;
    }
    return assert.fail('it landed');
  }
}
