-- oldest reader: 2
--
-- Layers above a job's own, keys that make a write happen once, a cursor over commits that misses none, 256 shards under
-- leases of replicas, one brake for all removals, and history that can be archived by time. Operators of the schema
-- before lose their lease here: the placeholder below keeps it until it would have run out, then newer ones claim.

-- Row by row, since a trigger of that kind is handed down to every partition.
create function bulkhead.refuse_row_change() returns trigger language plpgsql as $$
begin
  raise exception '%.% is append-only: % is refused', tg_table_schema, tg_table_name, tg_op using errcode = '23001';
end
$$;

-- Which database this is. Both are part of every epoch.
create function bulkhead.system_identifier() returns text language sql stable as
  $$ select system_identifier::text from pg_control_system() $$;
create function bulkhead.timeline() returns integer language sql stable as $$
  select case when pg_is_in_recovery() then 0
    else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer end
$$;
comment on function bulkhead.timeline() is 'One more after each promotion; 0 on a standby.';

alter table bulkhead.store add column undelete_retention interval not null default '7 days';
comment on column bulkhead.store.undelete_retention is 'How long a removed job keeps its name and can be brought back.';

alter table bulkhead.job add column shard smallint not null
  generated always as (get_byte(sha256(uuid_send(id)), 0)) stored;
comment on column bulkhead.job.shard is 'The first byte of the SHA-256 of the id: which slice of all jobs it belongs to.';
create index job_of_shard on bulkhead.job (shard);
create index job_of_removed_name on bulkhead.job (tenant, name, removed_at) where removed_at is not null;

-- Revisions of the layers that people write. The scaler's are many, so they are kept apart, by time.
alter table bulkhead.goal_revision drop constraint goal_revision_layer_check;
alter table bulkhead.goal_revision alter column layer drop default;
alter table bulkhead.goal_revision
  add constraint goal_revision_layer_check check (layer in ('job', 'oncall')),
  add column until timestamptz,
  add column idempotency_key text,
  add column xid xid8 not null default pg_current_xact_id();
create index goal_revision_of_commit on bulkhead.goal_revision (xid);
comment on table bulkhead.goal_revision is 'The truth: what each layer of each job should be, revision by revision. Append-only, enforced by triggers and by rights.';
comment on column bulkhead.goal_revision.revision is '1, 2, 3 … for each job, one series for all its layers.';
comment on column bulkhead.goal_revision.layer is 'job: the whole spec; oncall: a patch of it.';
comment on column bulkhead.goal_revision.content is 'As it was written, without defaults. null: the tombstone of a job, or an on-call layer that ended.';
comment on column bulkhead.goal_revision.until is 'When an on-call layer ends by itself.';
comment on column bulkhead.goal_revision.xid is 'The transaction that wrote it: the cursor over commits.';

create table bulkhead.scaler_revision (
  job_id uuid not null references bulkhead.job,
  revision integer not null check (revision >= 1),
  content jsonb check (jsonb_typeof(content) = 'object'),
  content_hash text not null,
  author text not null,
  source text not null,
  reason text,
  idempotency_key text,
  created_at timestamptz not null default clock_timestamp(),
  xid xid8 not null default pg_current_xact_id(),
  primary key (job_id, revision, created_at)
) partition by range (created_at);
create index scaler_revision_of_commit on bulkhead.scaler_revision (xid);
create trigger scaler_revision_is_append_only before update or delete on bulkhead.scaler_revision
  for each row execute function bulkhead.refuse_row_change();
comment on table bulkhead.scaler_revision is 'Layer scaler of goal_revision: numbers of the same series, in partitions by month, which the owner may archive.';
-- In plpgsql, which keeps the plan: making one for all partitions takes ten times as long as reading a goal.
create function bulkhead.scaler_layer(job uuid, number integer, at timestamptz)
returns setof bulkhead.scaler_revision language plpgsql stable rows 1 as $$
begin
  return query select * from bulkhead.scaler_revision r
    where r.job_id = job and r.revision = number and r.created_at = at;
end
$$;
comment on function bulkhead.scaler_layer(uuid, integer, timestamptz) is 'The revision that a goal_head points to.';

alter table bulkhead.goal_head drop constraint goal_head_job_id_revision_fkey;
alter table bulkhead.goal_head
  add column job_revision integer,
  add column scaler_revision integer,
  add column scaler_at timestamptz,
  add column oncall_revision integer,
  add column oncall_until timestamptz;
update bulkhead.goal_head set job_revision = revision;
alter table bulkhead.goal_head
  alter column job_revision set not null,
  add foreign key (job_id, job_revision) references bulkhead.goal_revision (job_id, revision),
  add foreign key (job_id, oncall_revision) references bulkhead.goal_revision (job_id, revision);
create index goal_head_that_ends on bulkhead.goal_head (oncall_until) where oncall_until is not null;
comment on table bulkhead.goal_head is 'The newest revision of each job, and of each of its layers. Changed by compare-and-set only.';
comment on column bulkhead.goal_head.scaler_at is 'created_at of the scaler''s revision, which finds its partition.';
comment on column bulkhead.goal_head.oncall_until is 'Copied from the revision; indexed, since it seldom changes, to find what ends without looking at every job.';

create function bulkhead.refuse_older_head() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    if new.job_id = old.job_id and new.revision > old.revision and new.job_revision >= old.job_revision
      and (old.scaler_revision is null or new.scaler_revision >= old.scaler_revision)
      and (old.oncall_revision is null or new.oncall_revision >= old.oncall_revision) then
      return new;
    end if;
  end if;
  raise exception 'bulkhead.goal_head only moves on: % is refused', tg_op using errcode = '23001';
end
$$;
create trigger goal_head_moves_on before update or delete on bulkhead.goal_head
  for each row execute function bulkhead.refuse_older_head();
create trigger goal_head_is_kept before truncate on bulkhead.goal_head
  for each statement execute function bulkhead.refuse_older_head();

create table bulkhead.platform_revision (
  scope text not null,
  revision integer not null check (revision >= 1),
  content jsonb not null check (jsonb_typeof(content) = 'object'),
  content_hash text not null,
  author text not null,
  source text not null,
  reason text,
  idempotency_key text,
  created_at timestamptz not null default clock_timestamp(),
  xid xid8 not null default pg_current_xact_id(),
  primary key (scope, revision)
);
create index platform_revision_of_commit on bulkhead.platform_revision (xid);
create trigger platform_revision_is_append_only before update or delete or truncate on bulkhead.platform_revision
  for each statement execute function bulkhead.refuse_change();
comment on table bulkhead.platform_revision is 'Defaults below and limits above the layers of jobs. Append-only.';
comment on column bulkhead.platform_revision.scope is '* for all tenants, else a tenant.';
create table bulkhead.platform_head (
  scope text primary key,
  revision integer not null,
  foreign key (scope, revision) references bulkhead.platform_revision (scope, revision)
);
comment on table bulkhead.platform_head is 'The newest revision of each scope.';

-- Without statistics the planner guesses that a third of the revisions are new, and would read them all.
-- An id that this server has yet to give comes from another one, with a dump: nothing that is new here.
create function bulkhead.changed_since(horizon xid8) returns table (job_id uuid, scope text, revision integer)
language sql stable set enable_seqscan = off as $$
  select c.job_id, null::text, (select h.revision from bulkhead.goal_head h where h.job_id = c.job_id)
  from (select g.job_id from bulkhead.goal_revision g
      where g.xid >= horizon and g.xid < pg_snapshot_xmax(pg_current_snapshot())
    union select s.job_id from bulkhead.scaler_revision s
      where s.xid >= horizon and s.xid < pg_snapshot_xmax(pg_current_snapshot())) c
  union all
  select null, p.scope, max(p.revision) from bulkhead.platform_revision p
    where p.xid >= horizon and p.xid < pg_snapshot_xmax(pg_current_snapshot()) group by p.scope
$$;
comment on function bulkhead.changed_since(xid8) is 'Heads of the jobs, and of the platform scopes, with a revision by this transaction or a later one. Costs as much as there are changes, by the indexes on xid.';

create table bulkhead.idempotency (
  tenant text not null,
  key text not null,
  body_hash text not null,
  receipts jsonb not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant, key)
);
comment on table bulkhead.idempotency is 'What a key was used for and what was answered: the same again gets the same answer, another body is refused.';
comment on column bulkhead.idempotency.tenant is '* for what concerns all tenants.';

-- Events, as before, but in partitions by month.
alter table bulkhead.event rename to event_before;
alter table bulkhead.event_before drop constraint event_pkey;
alter table bulkhead.event_before alter column id drop identity;
drop index bulkhead.event_of_job;
create sequence bulkhead.event_id;
create table bulkhead.event (
  id bigint not null default nextval('bulkhead.event_id'),
  job_id uuid not null references bulkhead.job,
  revision integer not null,
  type text not null check (type in ('Normal', 'Warning')),
  reason text not null,
  message text not null,
  at timestamptz not null default clock_timestamp(),
  primary key (id, at)
) partition by range (at);
create index event_of_job on bulkhead.event (job_id, id);
create trigger event_is_append_only before update or delete on bulkhead.event
  for each row execute function bulkhead.refuse_row_change();
comment on table bulkhead.event is 'What was done and seen, in order. Append-only; in partitions by month, which the owner may archive.';
comment on column bulkhead.event.revision is 'The goal revision that was acted for.';
comment on column bulkhead.event.reason is 'Stable CamelCase word that programs may compare.';

-- For the owner only: the run-time role may neither make nor take away partitions.
create function bulkhead.make_partitions(months integer) returns void language plpgsql as $$
declare
  parent text;
  start date;
  part text;
begin
  foreach parent in array array['event', 'scaler_revision'] loop
    -- Catches what no month was made for, so that a write never fails for want of a partition.
    if to_regclass(format('bulkhead.%I', parent || '_other')) is null then
      execute format('create table bulkhead.%I partition of bulkhead.%I default', parent || '_other', parent);
      execute format('create trigger %I before truncate on bulkhead.%I for each statement execute function bulkhead.refuse_change()', parent || '_other_is_kept', parent || '_other');
    end if;
    for step in 0 .. months loop
      start := (date_trunc('month', now() at time zone 'utc') + make_interval(months => step))::date;
      part := parent || to_char(start, '_YYYY_MM');
      if to_regclass(format('bulkhead.%I', part)) is null then
        begin
          execute format('create table bulkhead.%I partition of bulkhead.%I for values from (%L) to (%L)', part, parent,
            start::timestamp at time zone 'utc', (start + interval '1 month') at time zone 'utc');
          execute format('create trigger %I before truncate on bulkhead.%I for each statement execute function bulkhead.refuse_change()', part || '_is_kept', part);
        exception when check_violation then
          -- The month has begun without a partition: its rows lie in the default one and stay there.
          null;
        end;
      end if;
    end loop;
  end loop;
end
$$;
comment on function bulkhead.make_partitions(integer) is 'Makes the partitions of this month and the next ones. Run by every migration; safe to repeat.';
select bulkhead.make_partitions(12);
insert into bulkhead.event (id, job_id, revision, type, reason, message, at)
  select id, job_id, revision, type, reason, message, at from bulkhead.event_before order by id;
select setval('bulkhead.event_id', (select coalesce(max(id), 0) + 1 from bulkhead.event), false);
drop table bulkhead.event_before;

-- Who acts. A replica renews one row of its own; its shards are its for as long.
create table bulkhead.replica (
  id uuid primary key,
  name text not null,
  cluster_id uuid,
  unconnected_since timestamptz default clock_timestamp(),
  started_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null
) with (fillfactor = 50);
comment on table bulkhead.replica is 'The processes that act for this store, each under a lease.';
comment on column bulkhead.replica.cluster_id is 'UID of the kube-system of the cluster that it is connected to; null while it is not.';
comment on column bulkhead.replica.expires_at is 'End of the lease, by clock_timestamp() of this database.';
comment on column bulkhead.replica.unconnected_since is 'null while it is connected to the current cluster.';

insert into bulkhead.replica (id, name, expires_at)
  select '00000000-0000-4000-8000-000000000000', 'operator before schema 2', expires_at
  from bulkhead.shard where owner is not null and expires_at > clock_timestamp();
alter table bulkhead.shard drop column expires_at, drop column owner;
alter table bulkhead.shard add column owner uuid;
insert into bulkhead.shard (id) select generate_series(1, 255);
update bulkhead.shard set owner = (select id from bulkhead.replica), epoch = (select max(epoch) from bulkhead.shard);
alter table bulkhead.shard add foreign key (owner) references bulkhead.replica (id);
comment on table bulkhead.shard is 'Who acts for which slice of the jobs. Every write of a replica checks owner and epoch here, in its own statement. The unique (id, epoch) makes the epoch a key, so that FOR KEY SHARE holds off a takeover.';
comment on column bulkhead.shard.epoch is 'Grows with each claim, and never otherwise.';

create function bulkhead.refuse_lower_epoch() returns trigger language plpgsql as $$
begin
  if new.id <> old.id or new.epoch < old.epoch
    or (new.owner is distinct from old.owner and new.owner is not null and new.epoch = old.epoch) then
    raise exception 'bulkhead.shard %: an epoch only grows, and each claim has one of its own', old.id using errcode = '23001';
  end if;
  return new;
end
$$;
create trigger shard_epoch_grows before update on bulkhead.shard
  for each row execute function bulkhead.refuse_lower_epoch();

create table bulkhead.fence_confirmation (
  id bigint generated always as identity primary key,
  system text not null,
  fences jsonb not null check (jsonb_typeof(fences) = 'object'),
  author text not null,
  reason text not null,
  at timestamptz not null default clock_timestamp()
);
create trigger fence_confirmation_is_append_only before update or delete or truncate on bulkhead.fence_confirmation
  for each statement execute function bulkhead.refuse_change();
comment on table bulkhead.fence_confirmation is 'A person''s word that this database (system) goes on from where a cluster''s fence stood.';
comment on column bulkhead.fence_confirmation.fences is 'Shard to system/timeline/n: this far, and not for what the fence saw later.';

create table bulkhead.fence_ahead (
  shard smallint primary key references bulkhead.shard,
  system text not null,
  timeline integer not null,
  n bigint not null,
  found_at timestamptz not null default clock_timestamp()
);
comment on table bulkhead.fence_ahead is 'Where a cluster''s fence was found to have seen more than this store, until a person confirms it. Kept, since claims would outgrow it.';

create table bulkhead.cluster_acceptance (
  only_one boolean primary key default true check (only_one),
  id uuid not null,
  author text not null,
  reason text,
  at timestamptz not null default clock_timestamp()
);
comment on table bulkhead.cluster_acceptance is 'A person''s word that all jobs move to this cluster, until it is recorded as the current one.';

-- The brake: one budget of removals for all replicas.
create table bulkhead.brake (
  only_one boolean primary key default true check (only_one),
  cells integer not null default 0,
  counted_at timestamptz not null default '-infinity'
) with (fillfactor = 50);
insert into bulkhead.brake default values;
comment on table bulkhead.brake is 'One row: its lock makes replicas reserve one after the other.';
comment on column bulkhead.brake.cells is 'How many cells there were at counted_at, so that a thousand removals that wait do not count them a thousand times.';
create table bulkhead.removal (
  job_id uuid not null references bulkhead.job,
  revision integer not null,
  asked_at timestamptz not null default clock_timestamp(),
  granted_at timestamptz,
  primary key (job_id, revision)
);
create index removal_granted on bulkhead.removal (granted_at);
create index removal_waiting on bulkhead.removal (asked_at) where granted_at is null;
comment on table bulkhead.removal is 'Removals of cells that were asked for; granted_at is null while one waits for the brake.';
create table bulkhead.brake_release (
  id bigint generated always as identity primary key,
  author text not null,
  reason text not null,
  released integer not null,
  at timestamptz not null default clock_timestamp()
);
create trigger brake_release_is_append_only before update or delete or truncate on bulkhead.brake_release
  for each statement execute function bulkhead.refuse_change();
comment on table bulkhead.brake_release is 'Who let waiting removals go, and why.';

-- How old a Bulkhead may be that still reads each version; the runner fills it in from the first line of the file.
alter table bulkhead.migration add column if not exists oldest_reader integer;
