import type { Epoch } from '../job/epoch.ts';
import { type ClusterId, clusterId, type ReplicaId, replicaId, SHARD_COUNT, type Shard, shard } from '../job/ids.ts';
import type { Fence, ReplicaInfo, ShardLeases, Standing } from '../ports/shards.ts';
import { fencesValues } from './fence.ts';
import type { Database, Sql } from './pool.ts';
import { GOAL_CHANNEL } from './write-statement.ts';

/**
 * Who acts for which shards. A replica renews one row of its own, and what it owns stays its own with it, under the
 * same epoch, also when it comes late but nobody has taken anything. All times are of the database's clock:
 * clock_timestamp(), which moves on while a statement waits, and never now(), which stands still in a transaction.
 *
 * A late renewal and a claim exclude each other: who claims holds the dead owner's row FOR SHARE until the commit, so
 * the renewal waits and then sees what it lost; a renewal that came first makes the owner alive again.
 */
type Self = Parameters<ShardLeases['heartbeat']>[0];

/** Which database a heartbeat met. */
export type Server = Pick<Epoch, 'system' | 'timeline'>;

/** A replica that holds nothing is forgotten this long after the end of its lease; until then people can see it. */
const FORGOTTEN_AFTER = "interval '1 hour'";
const EXPIRY = "clock_timestamp() + $4 * interval '1 millisecond'";
const IS_FORGOTTEN = `r.expires_at < clock_timestamp() - ${FORGOTTEN_AFTER}
  and not exists (select from bulkhead.shard s where s.owner = r.id)`;

/**
 * A replica that has lost the cluster keeps its shards for this long: most come back sooner, and moving shards costs the
 * jobs a pause.
 */
const UNCONNECTED_GRACE = "interval '10 seconds'";
const IS_CONNECTED = 'exists (select from bulkhead.cluster where current and id = $3::uuid)';

async function renew(sql: Sql, self: Self, ttlMs: number): Promise<void> {
  await sql.query(
    `with renewed as (
       update bulkhead.replica set name = $2, cluster_id = $3::uuid, expires_at = ${EXPIRY},
         unconnected_since = case when not ${IS_CONNECTED} then coalesce(unconnected_since, clock_timestamp()) end
       where id = $1::uuid
       returning 1)
     insert into bulkhead.replica (id, name, cluster_id, expires_at, unconnected_since)
     select $1::uuid, $2, $3::uuid, ${EXPIRY}, case when not ${IS_CONNECTED} then clock_timestamp() end
     where not exists (select from renewed)
     on conflict (id) do nothing`,
    [self.id, self.name, self.clusterId, ttlMs],
  );
}

interface View extends Server {
  readonly shards: readonly number[];
  /** pg gives a bigint as text. */
  readonly epochs: readonly string[];
  /** Everyone alive. */
  readonly live: readonly Live[];
  /** Shards that nobody holds under a lease. */
  readonly free: number;
  readonly forgotten: boolean;
}

/** How the shards lie, in one snapshot that is newer than our renewal. */
async function look(sql: Sql, self: ReplicaId): Promise<View> {
  const [view] = await sql.query<View>(
    `with r as materialized (
       select id, expires_at > clock_timestamp() or id = $1::uuid as alive, unconnected_since is null as connected,
         unconnected_since > clock_timestamp() - ${UNCONNECTED_GRACE} as spared
       from bulkhead.replica),
     s as materialized (select id, owner, epoch from bulkhead.shard)
     select bulkhead.system_identifier() as system, bulkhead.timeline() as timeline,
       array(select id from s where owner = $1::uuid order by id) as shards,
       array(select epoch from s where owner = $1::uuid order by id) as epochs,
       (select json_agg(json_build_object('id', id, 'held', (select count(*) from s where s.owner = r.id),
          'connected', connected, 'spared', coalesce(spared, false)))
        from r where alive) as live,
       (select count(*)::int from s where owner is null or owner not in (select id from r where alive)) as free,
       exists (select from bulkhead.replica r where ${IS_FORGOTTEN}) as forgotten`,
    [self],
  );
  if (view === undefined) throw new Error('a query without a table gave no row');
  return view;
}

export interface Holder {
  readonly id: string;
  /** How many shards it has. */
  readonly held: number;
}

export interface Live extends Holder {
  /** To the store's current cluster. */
  readonly connected: boolean;
  /** Not connected since a moment ago only. */
  readonly spared: boolean;
}

/**
 * Who gets a share: those who can act on the cluster. While nobody is connected it is the cluster that is lost, not a
 * replica, and moving shards would help no job.
 */
export function eligible(live: readonly Live[]): readonly Live[] {
  if (!live.some(({ connected }) => connected)) return live;
  return live.filter(({ connected, spared }) => connected || spared);
}

/**
 * How many shards fall to `self`, none where it is not among them, when they are divided evenly. What cannot be divided stays with those who hold most
 * already, so that the least is moved, and everyone comes to the same answer.
 */
export function shareOf(self: string, among: readonly Holder[]): number {
  const ranked = [...among].sort((a, b) => b.held - a.held || (a.id < b.id ? -1 : 1));
  const place = ranked.findIndex(({ id }) => id === self);
  if (place < 0) return 0;
  return Math.floor(SHARD_COUNT / ranked.length) + (place < SHARD_COUNT % ranked.length ? 1 : 0);
}

interface Claimed extends Server {
  readonly id: number;
  readonly epoch: string;
}

/** Takes up to `count` shards that are free, each under a new epoch. What somebody has under a lock is left alone. */
async function claim(db: Database, self: ReplicaId, count: number): Promise<Claimed[]> {
  return await db.transaction(async (sql) => {
    const dead = await sql.query<{ id: string }>(
      `select id from bulkhead.replica r
       where expires_at <= clock_timestamp() and exists (select from bulkhead.shard s where s.owner = r.id)
       order by id for share skip locked`,
    );
    return await sql.query<Claimed>(
      `with free as materialized (
         select id from bulkhead.shard where owner is null or owner = any($2::uuid[])
         order by id limit $3 for update skip locked)
       update bulkhead.shard s set owner = $1::uuid, epoch = s.epoch + 1 from free where s.id = free.id
       returning s.id, s.epoch, bulkhead.system_identifier() as system, bulkhead.timeline() as timeline`,
      [self, dead.map(({ id }) => id), count],
    );
  });
}

const toFence = (replica: ReplicaId, id: number, epoch: string, { system, timeline }: Server): Fence => ({
  replica,
  shard: shard(id),
  epoch: { system, timeline, n: Number(epoch) },
});

/**
 * Two statements while nothing is to be done, of which one writes one row; more when shards are free. Not one
 * transaction: a replica that stops in the middle would hold its locks against the others.
 * @param meet told which database this is, at every call that reaches it
 */
export async function heartbeat(
  db: Database,
  self: Self,
  ttlMs: number,
  meet: (server: Server) => void = () => undefined,
): Promise<Standing> {
  await renew(db, self, ttlMs);
  const view = await look(db, self.id);
  meet({ system: view.system, timeline: view.timeline });
  if (view.forgotten) await db.query(`delete from bulkhead.replica r where ${IS_FORGOTTEN}`);
  const share = shareOf(self.id, eligible(view.live));
  const wanted = Math.min(share - view.shards.length, view.free);
  const claimed = wanted > 0 ? await claim(db, self.id, wanted) : [];
  const fences = [
    ...view.shards.map((id, index) => toFence(self.id, id, view.epochs[index] ?? '', view)),
    ...claimed.map((row) => toFence(self.id, row.id, row.epoch, row)),
  ].sort((a, b) => a.shard - b.shard);
  return { fences, surplus: Math.max(0, fences.length - share), replicas: view.live.length };
}

/** Does nothing for shards that are somebody else's meanwhile. */
export async function yieldShards(sql: Sql, replica: ReplicaId, shards: readonly Shard[]): Promise<void> {
  await sql.query(
    `with given as materialized (
       select id from bulkhead.shard where owner = $1::uuid and id = any($2::smallint[])
       order by id for no key update)
     update bulkhead.shard s set owner = null from given where s.id = given.id`,
    [replica, shards],
  );
  await hint(sql);
}

/** Others need not wait for their next heartbeat. */
async function hint(sql: Sql): Promise<void> {
  try {
    await sql.query('select pg_notify($1, $2)', [GOAL_CHANNEL, 'shards']);
  } catch {
    // The shards are free all the same, and found by the next heartbeat of whoever lacks some.
  }
}

export async function leave(sql: Sql, replica: ReplicaId): Promise<void> {
  await sql.query(
    `with given as materialized (
       select id from bulkhead.shard where owner = $1::uuid order by id for no key update),
     freed as (update bulkhead.shard s set owner = null from given where s.id = given.id)
     delete from bulkhead.replica where id = $1::uuid`,
    [replica],
  );
  await hint(sql);
}

interface ReplicaRow {
  readonly id: string;
  readonly name: string;
  readonly cluster_id: ClusterId | null;
  readonly started_at: Date;
  readonly alive: boolean;
  readonly shards: readonly number[];
}

export async function replicas(sql: Sql): Promise<ReplicaInfo[]> {
  const rows = await sql.query<ReplicaRow>(
    `select * from (
       select id, name, cluster_id, started_at, expires_at > clock_timestamp() as alive,
         array(select s.id from bulkhead.shard s where s.owner = r.id order by s.id) as shards
       from bulkhead.replica r) r
     where alive or cardinality(shards) > 0
     order by name collate "C", id`,
  );
  return rows.map((row) => ({
    id: replicaId(row.id),
    name: row.name,
    shards: row.shards.map(shard),
    clusterId: row.cluster_id === null ? null : clusterId(row.cluster_id),
    startedAt: row.started_at,
    alive: row.alive,
  }));
}

/** Looks without a lock: only a statement that writes under a fence is sure of it. */
export async function holding(sql: Sql, fences: readonly Fence[]): Promise<Fence[]> {
  if (fences.length === 0) return [];
  const rows = await sql.query<{ position: number }>(
    `select given.position::int as position
     from unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::text[], $5::integer[])
       with ordinality as given (replica, shard, n, system, timeline, position)
     join bulkhead.shard s on s.id = given.shard and s.owner = given.replica and s.epoch = given.n
     where given.system = (select bulkhead.system_identifier()) and given.timeline = (select bulkhead.timeline())`,
    fencesValues(fences),
  );
  const held = new Set(rows.map(({ position }) => position - 1));
  return fences.filter((_fence, index) => held.has(index));
}

/** @returns to be told of every server that was met; calls `changed` when it is another than before */
export function whenServerChanges(changed: () => void): (server: Server) => void {
  let last: Server | null = null;
  return (server) => {
    const isOther = last !== null && (last.system !== server.system || last.timeline !== server.timeline);
    last = server;
    if (isOther) changed();
  };
}
