import type {
  Authorship,
  Goal,
  JobRevision,
  LayerContent,
  OverlayContent,
  PlatformRevision,
} from '../../../src/job/goal.ts';
import { clusterId, replicaId, revision, SHARD_COUNT, shard } from '../../../src/job/ids.ts';
import { effectiveGoal } from '../../../src/job/layers.ts';
import type { SpecPatch } from '../../../src/job/patch.ts';
import type { PlatformContent } from '../../../src/job/platform.ts';
import type { Condition, JobStatus } from '../../../src/job/status.ts';
import type { ReplicaInfo } from '../../../src/ports/shards.ts';
import type { BrakeState, StoredEvent, StoredStatus } from '../../../src/ports/store.ts';

/** The moment at which everything here is looked at. */
export const NOW = Date.parse('2026-11-23T12:00:00Z');
export const CLUSTER = clusterId('cccccccc-cccc-4ccc-8ccc-cccccccccccc');

export const ago = (seconds: number): Date => new Date(NOW - seconds * 1000);

export const condition = (parts: Partial<Condition> = {}): Condition => ({
  type: 'Ready',
  status: 'True',
  reason: 'WorkersReady',
  message: '2 of 2 workers are ready',
  lastTransitionTime: ago(300).toISOString(),
  ...parts,
});

/** What was seen of a goal's job, a minute ago: all is well unless the test says otherwise. */
export const seenOf = (goal: Goal, parts: Partial<JobStatus> = {}): StoredStatus => ({
  updatedAt: ago(60),
  status: {
    jobId: goal.job.id,
    observedRevision: goal.revision,
    observedPlatform: { all: goal.platform.all?.revision ?? 0, tenant: goal.platform.tenant?.revision ?? 0 },
    clusterId: CLUSTER,
    phase: 'Running',
    conditions: [condition()],
    workers: { desired: 2, ready: 2, restarts: 0 },
    cell: `bh-${goal.job.tenant}-${goal.job.name}-abcdefghijkl`,
    tier: 'namespace',
    next: [{ action: 'nothing', why: 'the cell matches its goal' }],
    ...parts,
  },
});

export const eventOf = (goal: Goal, parts: Partial<StoredEvent> = {}): StoredEvent => ({
  job: goal.job,
  jobId: goal.job.id,
  revision: revision(1),
  type: 'Normal',
  reason: 'WorkersReady',
  message: '2 of 2 workers are ready',
  at: ago(300),
  ...parts,
});

/** Who changed something: the test says only what it is about. */
export const authored = (parts: Partial<Authorship> = {}): Authorship => ({
  author: 'ann@desk',
  source: 'cli',
  reason: null,
  idempotencyKey: null,
  createdAt: ago(3_700),
  ...parts,
});

export const revisionOf = <C extends LayerContent>(
  at: number,
  content: C,
  { takeOver, ...parts }: Partial<Authorship> & Pick<JobRevision, 'takeOver'> = {},
): JobRevision<C> => ({
  ...authored(parts),
  revision: revision(at),
  content,
  contentHash: 'unused',
  ...(takeOver && { takeOver }),
});

export const oncall = (patch: SpecPatch, until: Date | null = ago(-7_200)): OverlayContent => ({
  kind: 'patch',
  layer: 'oncall',
  patch,
  until,
});

export const platformOf = (
  tenant: string | null,
  at: number,
  content: Partial<PlatformContent>,
  parts: Partial<Authorship> = {},
): PlatformRevision => ({
  ...authored({ author: 'root@desk', ...parts }),
  tenant,
  revision: revision(at),
  content: { defaults: {}, limits: {}, ...content },
  contentHash: 'unused',
});

/** Whose newest revision of layer `job` is by this author. */
export const by = (goal: Goal, parts: Partial<Authorship>): Goal => ({
  ...goal,
  layers: { ...goal.layers, job: { ...goal.layers.job, ...authored(parts) } },
});

/** With the layers and the platform that the test is about, merged again. */
export function layered(goal: Goal, parts: Partial<Goal['layers'] & { platform: Goal['platform'] }>): Goal {
  const { platform = goal.platform, ...rest } = parts;
  const layers = { ...goal.layers, ...rest };
  const newest = Math.max(...[layers.job, layers.scaler, layers.oncall].map((it) => it?.revision ?? 0));
  return { ...goal, layers, platform, revision: revision(newest), content: effectiveGoal(layers, platform) };
}

/** A replica with every `step`th shard from `first` on. */
export const replicaOf = (name: string, first = 0, step = 1, parts: Partial<ReplicaInfo> = {}): ReplicaInfo => ({
  id: replicaId(`00000000-0000-4000-8000-${String(first).padStart(12, '0')}`),
  name,
  shards: Array.from({ length: Math.ceil((SHARD_COUNT - first) / step) }, (_, index) => shard(first + index * step)),
  clusterId: CLUSTER,
  startedAt: ago(7_000),
  alive: true,
  ...parts,
});

export const brakeOf = (parts: Partial<BrakeState> = {}): BrakeState => ({
  budget: 3,
  windowMs: 600_000,
  used: 0,
  waiting: [],
  lastRelease: null,
  ...parts,
});
