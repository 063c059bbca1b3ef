import { type Goal, newestRevision } from '../job/goal.ts';
import { type JobName, jobName } from '../job/ids.ts';
import { inSchemaOrder } from '../job/schema-fields.ts';
import { API_VERSION, jobSpecSchema, KIND } from '../job/spec.ts';
import type { JobStatus } from '../job/status.ts';
import { nearest } from '../job/suggest.ts';
import { LABEL_PREFIX } from '../plan/objects.ts';
import type { GoalCatalog, GoalReader, StatusStore, StoredStatus } from '../ports/store.ts';
import { CliError } from './errors.ts';
import { layersText } from './layer-words.ts';

/** Jobs as people see them: those that are wanted, and those whose cells are still being removed. */

/** A goal and what was last seen of its job. */
export interface JobView {
  readonly goal: Goal;
  /** null when nothing was ever seen. */
  readonly seen: StoredStatus | null;
}

type Catalog = GoalCatalog & GoalReader;

const byName = (a: Goal, b: Goal): number => {
  const [left, right] = [jobName(a.job), jobName(b.job)];
  return left < right ? -1 : left > right ? 1 : 0;
};

/** @param tenant null for all */
export async function listGoals(store: Catalog, tenant: string | null): Promise<Goal[]> {
  const [wanted, heads] = await Promise.all([store.list(tenant === null ? {} : { tenant }), store.heads()]);
  const known = new Set(wanted.map((goal) => goal.job.id));
  const others = heads.map((head) => head.jobId).filter((id) => !known.has(id));
  const removed = others.length === 0 ? [] : await store.goals(others);
  const leaving = removed.filter(
    ({ layers, job }) => layers.job.content.kind === 'tombstone' && (tenant === null || job.tenant === tenant),
  );
  return [...wanted, ...leaving].sort(byName);
}

/** The job of that name, else one of that name whose cell is still being removed. @throws CliError when there is neither */
export async function requireGoal(store: Catalog, job: JobName): Promise<Goal> {
  const wanted = await store.find(job);
  if (wanted) return wanted;
  const leaving = (await listGoals(store, job.tenant)).filter((goal) => goal.job.name === job.name).at(-1);
  if (leaving) return leaving;
  throw await missing(store, job);
}

/** The job of that name, not one that is removed. @throws CliError */
export async function requireWanted(store: GoalCatalog, job: JobName): Promise<Goal> {
  const wanted = await store.find(job);
  if (wanted) return wanted;
  throw await missing(store, job);
}

async function missing(store: GoalCatalog, job: JobName): Promise<CliError> {
  const name = jobName(job);
  return (await store.findRemoved(job))
    ? new CliError(`${name} is removed; bring it back with: bulkhead undelete ${name}`)
    : new CliError(notFound(job, await store.list()));
}

/** The job of that name, or one that had it and whose name is still kept. @throws CliError when there is neither */
export async function anyGoal(store: Catalog, job: JobName): Promise<Goal> {
  return (await store.find(job)) ?? (await store.findRemoved(job))?.goal ?? (await requireGoal(store, job));
}

/** Says that there is no such job, and which one may have been meant. */
export function notFound(job: JobName, goals: readonly Goal[]): string {
  const elsewhere = goals.filter((goal) => goal.job.name === job.name).map((goal) => jobName(goal.job));
  const neighbours = goals.filter((goal) => goal.job.tenant === job.tenant).map((goal) => goal.job.name);
  const near = nearest(job.name, neighbours);
  const meant = elsewhere.length > 0 ? elsewhere.slice(0, 3).join(' or ') : near && jobName({ ...job, name: near });
  return `streamjob "${job.name}" not found in tenant ${job.tenant}${meant ? `; did you mean ${meant}?` : ''}`;
}

/** What was last seen of each goal's job, in the order of the goals. One query. */
export async function viewsOf(store: StatusStore, goals: readonly Goal[]): Promise<JobView[]> {
  if (goals.length === 0) return [];
  const stored = await store.statuses(goals.map((goal) => goal.job.id));
  const byId = new Map(stored.map((it) => [it.status.jobId, it]));
  return goals.map((goal) => ({ goal, seen: byId.get(goal.job.id) ?? null }));
}

/** What was seen, as far as it speaks of the goal as it is now; null where that is still to come. */
export function currentStatus({ goal: { revision, platform }, seen }: JobView): JobStatus | null {
  if (!seen || seen.status.observedRevision !== revision) return null;
  // A replica of an older Bulkhead, which knows of no platform, leaves this out.
  const { all, tenant } = seen.status.observedPlatform ?? { all: 0, tenant: 0 };
  return all === (platform.all?.revision ?? 0) && tenant === (platform.tenant?.revision ?? 0) ? seen.status : null;
}

/** The spec as somebody wrote it, fields in the order of the definition; null for a removed job. */
export const writtenSpec = ({ layers: { job } }: Goal): unknown =>
  job.content.kind === 'spec' ? inSchemaOrder(jobSpecSchema, job.content.spec) : null;

/**
 * One job in the form of a Kubernetes object, for -o yaml and json. Its spec is what layer `job` says, so that it can be
 * edited and applied again without taking over what others say above it; `explain` has the merge.
 */
export function jobObject({ goal, seen }: JobView): unknown {
  const { job, layers } = goal;
  const newest = newestRevision(goal);
  const annotations = {
    [`${LABEL_PREFIX}author`]: newest.author,
    [`${LABEL_PREFIX}source`]: newest.source,
    ...(newest.reason !== null && { [`${LABEL_PREFIX}reason`]: newest.reason }),
    [`${LABEL_PREFIX}revised-at`]: newest.createdAt.toISOString(),
    [`${LABEL_PREFIX}layers`]: layersText(layers),
  };
  const isRemoved = layers.job.content.kind === 'tombstone';
  const removal = isRemoved ? { deletionTimestamp: layers.job.createdAt.toISOString() } : {};
  return {
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: {
      name: job.name,
      namespace: job.tenant,
      uid: job.id,
      generation: goal.revision,
      ...removal,
      annotations,
    },
    ...(!isRemoved && { spec: writtenSpec(goal) }),
    ...(seen && { status: statusObject(seen) }),
  };
}

/** Field by field, since the store does not keep their order. */
function statusObject({ status, updatedAt }: StoredStatus): unknown {
  const { observedRevision, clusterId, cell, phase, conditions, workers, next } = status;
  return {
    observedGeneration: observedRevision,
    phase,
    conditions: conditions.map((it) => ({
      type: it.type,
      status: it.status,
      reason: it.reason,
      message: it.message,
      lastTransitionTime: it.lastTransitionTime,
    })),
    workers: { desired: workers.desired, ready: workers.ready, restarts: workers.restarts },
    cell: { namespace: cell, clusterId },
    next: next.map(({ action, why }) => ({ action, why })),
    updatedAt: updatedAt.toISOString(),
  };
}
