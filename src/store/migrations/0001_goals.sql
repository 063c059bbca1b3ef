-- Everything lives in the schema `bulkhead`, which the migration runner makes, so that a database can be shared with
-- others and no statement depends on a session's search_path.

-- Refuses whatever statement it guards. ERRCODE 23001 (restrict_violation) keeps it apart from missing privileges.
create function bulkhead.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '%.% is append-only: % is refused', tg_table_schema, tg_table_name, tg_op using errcode = '23001';
end
$$;
comment on function bulkhead.refuse_change() is 'Trigger that keeps append-only tables append-only.';

create table bulkhead.store (
  only_one boolean primary key default true check (only_one),
  id uuid not null default gen_random_uuid()
);
insert into bulkhead.store default values;
comment on table bulkhead.store is 'One row: who this store is.';
comment on column bulkhead.store.id is 'Carried by every Kubernetes object, so that two stores on one cluster never touch each other''s cells.';

create table bulkhead.job (
  id uuid primary key,
  tenant text not null,
  name text not null,
  created_at timestamptz not null default clock_timestamp(),
  removed_at timestamptz
);
create unique index job_name on bulkhead.job (tenant, name) where removed_at is null;
comment on table bulkhead.job is 'Every job there ever was. Rows are never deleted: an id that is not here is an orphan''s.';
comment on column bulkhead.job.id is 'Never reused, also not when a job of the same tenant and name is made again.';
comment on column bulkhead.job.removed_at is 'When the tombstone was written; null while the job is wanted.';

create table bulkhead.goal_revision (
  job_id uuid not null references bulkhead.job,
  revision integer not null check (revision >= 1),
  layer text not null default 'job' check (layer = 'job'),
  content jsonb check (jsonb_typeof(content) = 'object'),
  content_hash text not null,
  author text not null,
  source text not null,
  reason text,
  created_at timestamptz not null default clock_timestamp(),
  primary key (job_id, revision)
);
create trigger goal_revision_is_append_only before update or delete or truncate on bulkhead.goal_revision
  for each statement execute function bulkhead.refuse_change();
comment on table bulkhead.goal_revision is 'The truth: what each job should be, revision by revision. Append-only, enforced by a trigger.';
comment on column bulkhead.goal_revision.revision is '1, 2, 3 … for each job, without gaps.';
comment on column bulkhead.goal_revision.layer is 'Who may say what; only the job''s own layer for now.';
comment on column bulkhead.goal_revision.content is 'The spec as it was written, without defaults; null is the tombstone of a removed job.';
comment on column bulkhead.goal_revision.content_hash is 'SHA-256 of the canonical JSON of the content, computed by the writer; equal content makes no revision.';
comment on column bulkhead.goal_revision.source is 'Which way the change came in: cli, api, kubectl, rollback, scaler, oncall, system.';

create table bulkhead.goal_head (
  job_id uuid primary key references bulkhead.job,
  revision integer not null,
  foreign key (job_id, revision) references bulkhead.goal_revision
) with (fillfactor = 70);
comment on table bulkhead.goal_head is 'The newest revision of each job. Changed by compare-and-set only.';

create table bulkhead.observation (
  job_id uuid primary key references bulkhead.job,
  status jsonb not null,
  updated_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
comment on table bulkhead.observation is 'What was last seen of each job. Disposable: deleting every row loses nothing. No further index, so that updates stay cheap (HOT).';

create table bulkhead.event (
  id bigint generated always as identity primary key,
  job_id uuid not null references bulkhead.job,
  revision integer not null,
  type text not null check (type in ('Normal', 'Warning')),
  reason text not null,
  message text not null,
  at timestamptz not null default clock_timestamp()
);
create index event_of_job on bulkhead.event (job_id, id);
create trigger event_is_append_only before update or delete or truncate on bulkhead.event
  for each statement execute function bulkhead.refuse_change();
comment on table bulkhead.event is 'What was done and seen, in order. Append-only, enforced by a trigger.';
comment on column bulkhead.event.revision is 'The goal revision that was acted for.';
comment on column bulkhead.event.reason is 'Stable CamelCase word that programs may compare.';

create table bulkhead.shard (
  id smallint primary key,
  owner text,
  epoch bigint not null default 0,
  expires_at timestamptz not null default '-infinity',
  unique (id, epoch)
) with (fillfactor = 50);
insert into bulkhead.shard (id) values (0);
comment on table bulkhead.shard is 'Who may act. Every write of an operator checks owner and epoch here, in its own statement. One shard for now. The unique (id, epoch) makes the epoch a key, so that FOR KEY SHARE holds off a takeover, but not a renewal.';
comment on column bulkhead.shard.epoch is 'Grows with each change of owner, and never otherwise.';
comment on column bulkhead.shard.expires_at is 'End of the lease, by clock_timestamp() of this database.';

create table bulkhead.cluster (
  id uuid primary key,
  context_name text not null,
  server text not null,
  ca_certificate text,
  first_seen_at timestamptz not null default clock_timestamp(),
  current boolean not null
);
create unique index cluster_current on bulkhead.cluster (current) where current;
comment on table bulkhead.cluster is 'The Kubernetes clusters that held this store''s cells.';
comment on column bulkhead.cluster.id is 'UID of the namespace kube-system.';
comment on column bulkhead.cluster.ca_certificate is 'PEM; null where the connection is not by TLS with a CA of its own.';
comment on column bulkhead.cluster.current is 'Whether the cells are in it now; true in one row at most.';
