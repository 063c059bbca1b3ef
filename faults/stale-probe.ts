import { KubernetesExecutor } from '../src/cluster/executor.ts';
import type { Transport } from '../src/cluster/transport.ts';
import { type ReplicaId, replicaId, shard } from '../src/job/ids.ts';
import type { ClusterAction } from '../src/plan/actions.ts';
import { cellNamespace } from '../src/plan/names.ts';
import type { KubeObject, ObjectKey, ObservedObject } from '../src/plan/objects.ts';
import { ClusterError } from '../src/ports/cluster.ts';
import type { Fence } from '../src/ports/shards.ts';
import { StoreError } from '../src/ports/store.ts';
import type { Store } from '../src/store/open.ts';
import { sql } from '../test/support/postgres.ts';
import { TENANT, type WrittenJob } from './jobs.ts';

/** Writes under fences that were somebody's and are not any more, each of which must be refused. */
export interface Probe {
  readonly attempts: number;
  /** What was not refused as stale. */
  readonly landed: readonly string[];
}

/** The fences that a process holds now. */
export async function fencesOf(superuserUrl: string, pid: number): Promise<Fence[]> {
  const rows = await sql<{ replica: string; shard: number; n: string; system: string; timeline: number }>(
    superuserUrl,
    `select r.id as replica, s.id as shard, s.epoch as n, bulkhead.system_identifier() as system,
       bulkhead.timeline() as timeline
     from bulkhead.shard s join bulkhead.replica r on r.id = s.owner where r.name like '%-' || $1 || '-%'`,
    [pid],
  );
  return rows.map(({ replica, shard: id, n, system, timeline }) => ({
    replica: replicaId(replica) satisfies ReplicaId,
    shard: shard(id),
    epoch: { system, timeline, n: Number(n) },
  }));
}

/** Others change the same objects, Kubernetes' own controllers for example: then it is looked at and tried again. */
const TRIES = 5;

const kindOf = (error: unknown): string =>
  error instanceof ClusterError || error instanceof StoreError ? error.kind : 'unknown';

/** @returns null when the fence refused it; else what happened */
async function refused(what: string, work: () => Promise<unknown>): Promise<string | null> {
  for (let tries = 1; ; tries += 1) {
    try {
      await work();
      return `${what} was done`;
    } catch (error) {
      if (kindOf(error) === 'fenced') return null;
      if (kindOf(error) === 'conflict' && tries < TRIES) continue;
      return `${what} was not refused by the fence: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
}

/** What a stale replica may want of Postgres for a job. */
export async function probeStore(store: Store, stale: readonly Fence[], jobs: readonly WrittenJob[]): Promise<Probe> {
  const landed: (string | null)[] = [];
  for (const { id, revision, name, shard: of } of jobs) {
    const fence = stale.find((one) => one.shard === of);
    if (!fence) continue;
    const event = { jobId: id, revision, type: 'Normal', reason: 'Stale', message: 'from the past' } as const;
    landed.push(await refused(`event of ${name}`, () => store.record(fence, { status: null, events: [event] })));
    landed.push(await refused(`removal of ${name}`, () => store.reserveRemoval(fence, id, revision)));
  }
  return { attempts: landed.length, landed: landed.filter((it) => it !== null) };
}

/** What a stale replica may want of Kubernetes for a job: a new object, a change and a delete of what is there now. */
export async function probeCluster(
  api: Transport,
  store: Store,
  stale: readonly Fence[],
  jobs: readonly WrittenJob[],
): Promise<Probe> {
  const executor = new KubernetesExecutor(api);
  const landed: (string | null)[] = [];
  for (const job of jobs) {
    const fence = stale.find((one) => one.shard === job.shard);
    const namespace = cellNamespace(store.storeId, { tenant: TENANT, name: job.name });
    const key: ObjectKey = { kind: 'Deployment', namespace, name: job.name };
    if (!fence || !(await executor.read(key))) continue;
    const act = async (action: (found: ObservedObject) => ClusterAction): Promise<void> => {
      const found = await executor.read(key);
      if (found) await executor.execute(action(found), fence);
    };
    const copyOf = ({ metadata: { labels = {} } }: ObservedObject): KubeObject => ({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { namespace, name: 'from-the-past', labels },
    });
    const why = 'stale';
    const actions: readonly ((found: ObservedObject) => ClusterAction)[] = [
      (found) => ({ do: 'create', object: copyOf(found), goalHash: '', why }),
      (found) => ({ do: 'replace', object: found, goalHash: '', why }),
      ({ metadata: { uid } }) => ({ do: 'delete', key, uid, resourceVersion: null, why }),
    ];
    for (const [i, action] of actions.entries()) {
      landed.push(await refused(`${['create', 'replace', 'delete'][i]} in ${namespace}`, () => act(action)));
    }
  }
  return { attempts: landed.length, landed: landed.filter((it) => it !== null) };
}
