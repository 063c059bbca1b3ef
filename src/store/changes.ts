import { type JobId, jobId, revision, type Shard } from '../job/ids.ts';
import type { Changes, Cursor } from '../ports/store.ts';
import type { Sql } from './pool.ts';
import { ALL_TENANTS } from './rows.ts';

/**
 * Reading on in the order of commits. Every revision carries its transaction's id, and the horizon is the oldest
 * transaction that a snapshot saw at work: all before it had ended, so what they committed was visible to that very
 * snapshot. Reading everything from the horizon on therefore misses nothing, however late a commit becomes visible; it
 * reads what lies behind a long transaction again and again.
 *
 * A crash of the server can take transaction ids back that were given and never written down, and give them again.
 * A recovery from a crash starts Postgres's statistics anew, which gives it away; a full read is due then.
 */

/** What {@link Cursor.horizon} says: the horizon, since when it stands there, and the server's life that it is of. */
interface Horizon {
  readonly xid: string;
  /** By the server's clock. */
  readonly sinceMs: number;
  readonly life: string;
}

const HERE = `
  select bulkhead.system_identifier() as system, bulkhead.timeline() as timeline,
    pg_snapshot_xmin(pg_current_snapshot())::text as xmin, pg_snapshot_xmax(pg_current_snapshot())::text as xmax,
    extract(epoch from stats_reset)::text as life, extract(epoch from clock_timestamp())::float8 * 1000 as now_ms
  from pg_stat_bgwriter`;

interface Here {
  readonly system: string;
  readonly timeline: number;
  readonly xmin: string;
  /** The id after the last transaction that ended: the same as xmin when none has overtaken another. */
  readonly xmax: string;
  readonly life: string;
  readonly now_ms: number;
}

type ChangeRow = Here &
  (
    | { readonly job_id: string; readonly scope: null; readonly revision: number }
    | { readonly job_id: null; readonly scope: string; readonly revision: number }
    | { readonly job_id: null; readonly scope: null; readonly revision: null }
  );

const HORIZON = /^(\d{1,20}) (\d{1,16}) ([\d.]{1,32})$/;

function parseHorizon(text: string): Horizon | null {
  const [, xid, sinceMs, life] = HORIZON.exec(text) ?? [];
  return xid === undefined || life === undefined ? null : { xid, sinceMs: Number(sinceMs), life };
}

const toCursor = ({ system, timeline, xmin, life }: Here, sinceMs: number): Cursor => ({
  system,
  timeline,
  horizon: `${xmin} ${Math.trunc(sinceMs)} ${life}`,
});

export async function cursor(sql: Sql): Promise<Cursor> {
  const [here] = await sql.query<Here>(HERE);
  if (here === undefined) throw new Error('a view of one row gave none');
  return toCursor(here, here.now_ms);
}

/** Whether the place is one of the server that we meet now, in the same life of it. */
const isOf = (here: Here, { system, timeline }: Cursor, { xid, life }: Horizon): boolean =>
  here.system === system && here.timeline === timeline && here.life === life && BigInt(xid) <= BigInt(here.xmax);

/**
 * `lagMs` is how long the horizon has stood still while later transactions ended, as far as cursors were read meanwhile:
 * the age of others' transactions is nothing that the run-time role may ask for.
 */
export async function changesSince(sql: Sql, from: Cursor): Promise<Changes | null> {
  const horizon = parseHorizon(from.horizon);
  if (horizon === null) return null;
  const rows = await sql.query<ChangeRow>(
    `select * from (${HERE}) here left join bulkhead.changed_since($1::xid8) on true`,
    [horizon.xid],
  );
  const here = rows[0];
  if (here === undefined || !isOf(here, from, horizon)) return null;
  const isHeld = here.xmin !== here.xmax && here.xmin === horizon.xid;
  const sinceMs = isHeld ? horizon.sinceMs : here.now_ms;
  return {
    jobs: rows.flatMap((row) =>
      row.job_id === null ? [] : [{ jobId: jobId(row.job_id), revision: revision(row.revision) }],
    ),
    platforms: rows.flatMap((row) =>
      row.scope === null
        ? []
        : [{ tenant: row.scope === ALL_TENANTS ? null : row.scope, revision: revision(row.revision) }],
    ),
    cursor: toCursor(here, sinceMs),
    lagMs: Math.max(0, Math.trunc(here.now_ms - sinceMs)),
  };
}

/** Jobs that are not removed: nothing else has a goal for the platform to change. */
export async function jobsOf(sql: Sql, tenant: string | null, shards: readonly Shard[]): Promise<JobId[]> {
  const rows = await sql.query<{ id: string }>(
    `select id from bulkhead.job
     where removed_at is null and shard = any($2::smallint[]) and ($1::text is null or tenant = $1)`,
    [tenant, shards],
  );
  return rows.map(({ id }) => jobId(id));
}
