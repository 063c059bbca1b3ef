import type { Goal, JobContent, JobRevision, OverlayContent, PlatformLayers, PlatformRevision } from '../job/goal.ts';
import { type JobId, type JobName, type JobRef, jobId, type Revision, revision, type Shard } from '../job/ids.ts';
import { effectiveGoal } from '../job/layers.ts';
import type { Head } from '../ports/store.ts';
import type { Sql } from './pool.ts';
import {
  ALL_TENANTS,
  type JobRow,
  type LayerRow,
  type RevisionRow,
  toJobLayer,
  toJobRef,
  toOverlay,
  toPlatformRevision,
} from './rows.ts';

/** Reading goals: for the operator (heads, goals) and for people (list, find). One query each. */

/** A job as the store has it: the newest revision of each layer that ever had one, ended ones included. */
export interface StoredJob {
  readonly job: JobRef;
  /** The newest revision of any layer. */
  readonly head: Revision;
  readonly newest: {
    readonly job: JobRevision<JobContent>;
    readonly scaler: JobRevision<OverlayContent> | null;
    readonly oncall: JobRevision<OverlayContent> | null;
  };
  /** Where it was asked for: until when a removed job can be brought back. */
  readonly keptUntil: Date | null;
}

/** Jobs and what the platform says about them, from one snapshot. */
export interface StoredGoals {
  readonly jobs: readonly StoredJob[];
  /** By tenant; {@link ALL_TENANTS} for all of them. */
  readonly platforms: ReadonlyMap<string, PlatformRevision>;
}

const REVISION = `r.revision, r.content, r.content_hash, r.author, r.source, r.reason, r.idempotency_key, r.created_at`;
const HEAD = 'h.job_id, h.tenant, h.name, h.revision as head, h.kept_until';

/**
 * A statement that reads jobs whole, as bulkhead.goals_of() does for given ids: a row for each layer's newest revision,
 * and one for each platform scope that concerns them. In rows of their own, so that a platform's content comes once and
 * not with each of its jobs.
 * @param jobs a query with the columns of bulkhead.goal_head, tenant and name of bulkhead.job, and kept_until
 * @param tenants a query with the tenants whose platform scopes are wanted
 */
export const goalsStatement = (jobs: string, tenants = 'select tenant from h'): string => `
  with h as materialized (${jobs})
  select 'job' as kind, ${HEAD}, ${REVISION}, null::timestamptz as until, r.take_over
  from h join bulkhead.goal_revision r on r.job_id = h.job_id and r.revision = h.job_revision
  union all
  select 'oncall', ${HEAD}, ${REVISION}, r.until, false
  from h join bulkhead.goal_revision r on r.job_id = h.job_id and r.revision = h.oncall_revision
  union all
  select 'scaler', ${HEAD}, ${REVISION}, null, false
  from h cross join lateral bulkhead.scaler_layer(h.job_id, h.scaler_revision, h.scaler_at) r
  where h.scaler_revision is not null
  union all
  select 'platform', null, r.scope, null, null, null, ${REVISION}, null, null
  from bulkhead.platform_head p join bulkhead.platform_revision r on r.scope = p.scope and r.revision = p.revision
  where p.scope = '${ALL_TENANTS}' or p.scope in (${tenants})`;

/** A row of {@link goalsStatement}. */
export type GoalRow =
  | (JobRow &
      LayerRow & {
        readonly kind: 'job' | 'scaler' | 'oncall';
        readonly head: number;
        readonly kept_until: Date | null;
      })
  | (RevisionRow & { readonly kind: 'platform'; readonly tenant: string });

type Layers = { -readonly [K in keyof StoredJob['newest']]: StoredJob['newest'][K] };

export function assemble(rows: readonly GoalRow[]): StoredGoals {
  const jobs = new Map<string, Omit<StoredJob, 'newest'> & { readonly newest: Layers }>();
  const platforms = new Map<string, PlatformRevision>();
  for (const row of rows) {
    if (row.kind === 'platform') platforms.set(row.tenant, toPlatformRevision({ ...row, scope: row.tenant }));
    if (row.kind !== 'job') continue;
    const newest: Layers = { job: toJobLayer(row), scaler: null, oncall: null };
    jobs.set(row.job_id, { job: toJobRef(row), head: revision(row.head), newest, keptUntil: row.kept_until });
  }
  for (const row of rows) {
    if (row.kind !== 'scaler' && row.kind !== 'oncall') continue;
    const job = jobs.get(row.job_id);
    if (job) job.newest[row.kind] = toOverlay(row, row.kind);
  }
  return { jobs: [...jobs.values()], platforms };
}

/** A layer that was ended counts as none. */
export const inForce = (overlay: JobRevision<OverlayContent> | null): JobRevision<OverlayContent> | null =>
  overlay?.content.kind === 'patch' ? overlay : null;

export const platformOf = (tenant: string, platforms: StoredGoals['platforms']): PlatformLayers => ({
  all: platforms.get(ALL_TENANTS) ?? null,
  tenant: platforms.get(tenant) ?? null,
});

export function toGoal(stored: StoredJob, platforms: StoredGoals['platforms']): Goal {
  const { job, scaler, oncall } = stored.newest;
  const layers = { job, scaler: inForce(scaler), oncall: inForce(oncall) };
  const platform = platformOf(stored.job.tenant, platforms);
  return { job: stored.job, revision: stored.head, layers, platform, content: effectiveGoal(layers, platform) };
}

/** @param ids an array of the ids of jobs, in SQL */
async function read(sql: Sql, ids: string, values: readonly unknown[]): Promise<Goal[]> {
  const stored = assemble(await sql.query<GoalRow>(`select * from bulkhead.goals_of(${ids})`, values));
  return stored.jobs.map((job) => toGoal(job, stored.platforms));
}

/** @param where of job j */
const idsOf = (where: string): string => `array(select j.id from bulkhead.job j where ${where})`;

/** Every job but the removed ones whose cell was seen to be gone. */
export async function heads(sql: Sql, shards?: readonly Shard[]): Promise<Head[]> {
  const rows = await sql.query<{ job_id: string; revision: number }>(
    `select h.job_id, h.revision
     from bulkhead.goal_head h
     join bulkhead.job j on j.id = h.job_id
     left join bulkhead.observation o on o.job_id = h.job_id and j.removed_at is not null
     where ($1::smallint[] is null or j.shard = any($1))
       and (o.status->>'phase' = 'Gone' and (o.status->>'observedRevision')::int = h.revision) is not true`,
    [shards ?? null],
  );
  return rows.map((row) => ({ jobId: jobId(row.job_id), revision: revision(row.revision) }));
}

export async function goals(sql: Sql, ids: readonly JobId[]): Promise<Goal[]> {
  return await read(sql, '$1::uuid[]', [ids]);
}

/** Byte by byte, so that the order is the same everywhere; names are ASCII. */
const byName = (a: Goal, b: Goal): number => {
  const [one, other] = a.job.tenant === b.job.tenant ? [a.job.name, b.job.name] : [a.job.tenant, b.job.tenant];
  return one < other ? -1 : one > other ? 1 : 0;
};

export async function list(sql: Sql, filter: { readonly tenant?: string } = {}): Promise<Goal[]> {
  const ids = idsOf('j.removed_at is null and ($1::text is null or j.tenant = $1)');
  const found = await read(sql, ids, [filter.tenant ?? null]);
  return found.sort(byName);
}

export async function find(sql: Sql, job: JobName): Promise<Goal | null> {
  const ids = idsOf('j.removed_at is null and j.tenant = $1 and j.name = $2');
  const [goal] = await read(sql, ids, [job.tenant, job.name]);
  return goal ?? null;
}

/** The job of that name that can still be brought back: its retention is not over and nobody has taken the name. */
export async function findRemoved(sql: Sql, job: JobName): Promise<{ goal: Goal; until: Date } | null> {
  const jobs = `select h.*, j.tenant, j.name, j.removed_at + s.undelete_retention as kept_until
    from bulkhead.store s
    join bulkhead.job j on j.removed_at > (select clock_timestamp()) - s.undelete_retention
    join bulkhead.goal_head h on h.job_id = j.id
    where j.tenant = $1 and j.name = $2
      and not exists (select from bulkhead.job n where n.tenant = $1 and n.name = $2 and n.removed_at is null)
    order by j.removed_at desc limit 1`;
  const { jobs: found, platforms } = assemble(await sql.query<GoalRow>(goalsStatement(jobs), [job.tenant, job.name]));
  const stored = found[0];
  if (!stored?.keptUntil) return null;
  return { goal: toGoal(stored, platforms), until: stored.keptUntil };
}

/** Which of `ids` this store has ever given. */
export async function knows(sql: Sql, ids: readonly JobId[]): Promise<Set<JobId>> {
  const rows = await sql.query<{ id: string }>('select id from bulkhead.job where id = any($1::uuid[])', [ids]);
  return new Set(rows.map((row) => jobId(row.id)));
}
