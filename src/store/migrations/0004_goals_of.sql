-- oldest reader: 2
--
-- Goals as an operator reads them with each turn.

-- In plpgsql, which keeps the plan, also behind a pooler: making one takes five times as long as reading a goal. A row for
-- each layer's newest revision, and one for each platform scope that concerns the jobs, all from one snapshot.
create function bulkhead.goals_of(ids uuid[])
returns table (
  kind text, job_id uuid, tenant text, name text, head integer, kept_until timestamptz,
  revision integer, content jsonb, content_hash text, author text, source text, reason text, idempotency_key text,
  created_at timestamptz, until timestamptz, take_over boolean
) language plpgsql stable rows 16 as $$
#variable_conflict use_column
begin
  return query
  with h as materialized (
    select h.*, j.tenant, j.name from bulkhead.goal_head h join bulkhead.job j on j.id = h.job_id
    where h.job_id = any(ids))
  select 'job', h.job_id, h.tenant, h.name, h.revision, null::timestamptz,
    r.revision, r.content, r.content_hash, r.author, r.source, r.reason, r.idempotency_key, r.created_at,
    null::timestamptz, r.take_over
  from h join bulkhead.goal_revision r on r.job_id = h.job_id and r.revision = h.job_revision
  union all
  select 'oncall', h.job_id, h.tenant, h.name, h.revision, null,
    r.revision, r.content, r.content_hash, r.author, r.source, r.reason, r.idempotency_key, r.created_at,
    r.until, false
  from h join bulkhead.goal_revision r on r.job_id = h.job_id and r.revision = h.oncall_revision
  union all
  select 'scaler', h.job_id, h.tenant, h.name, h.revision, null,
    r.revision, r.content, r.content_hash, r.author, r.source, r.reason, r.idempotency_key, r.created_at,
    null, false
  from h cross join lateral bulkhead.scaler_layer(h.job_id, h.scaler_revision, h.scaler_at) r
  where h.scaler_revision is not null
  union all
  select 'platform', null, r.scope, null, null, null,
    r.revision, r.content, r.content_hash, r.author, r.source, r.reason, r.idempotency_key, r.created_at,
    null, null
  from bulkhead.platform_head p join bulkhead.platform_revision r on r.scope = p.scope and r.revision = p.revision
  where p.scope = '*' or p.scope in (select h.tenant from h);
end
$$;
comment on function bulkhead.goals_of(uuid[]) is 'What there is to know of the goals of these jobs: their layers, and what the platform says.';
