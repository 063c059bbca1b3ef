-- oldest reader: 2
--
-- What a turn has to tell, as an operator stores it at its end.

-- In plpgsql, which keeps the plans, also behind a pooler: making them takes twice as long as the rest. All of it or
-- nothing: false, with nothing stored, when the fence is outdated or not of the jobs' shard. The proof is the one of
-- src/store/fence.ts: FOR KEY SHARE makes a takeover wait until what was let in under the old epoch is committed.
create function bulkhead.record_turn(
  replica uuid, fenced_shard smallint, n bigint, system text, line integer,
  status_of uuid, new_status jsonb,
  event_jobs uuid[], revisions integer[], types text[], reasons text[], messages text[],
  jobs uuid[]
) returns boolean language plpgsql as $$
begin
  perform from bulkhead.shard s
    where s.owner = replica and s.id = fenced_shard and s.epoch = n
      and bulkhead.system_identifier() = system and bulkhead.timeline() = line
    for key share;
  -- One by one, by the primary key: asked for all at once, the planner expects one of another shard soon, and reads the
  -- table from its start.
  if not found or exists (
    select from unnest(jobs) given (id)
    where (select j.shard from bulkhead.job j where j.id = given.id) <> fenced_shard
  ) then
    return false;
  end if;
  if status_of is not null then
    insert into bulkhead.observation (job_id, status, updated_at) values (status_of, new_status, clock_timestamp())
      on conflict (job_id) do update set status = excluded.status, updated_at = excluded.updated_at;
  end if;
  if cardinality(event_jobs) > 0 then
    insert into bulkhead.event (job_id, revision, type, reason, message)
      select given.job_id, given.revision, given.type, given.reason, given.message
      from unnest(event_jobs, revisions, types, reasons, messages)
        with ordinality as given (job_id, revision, type, reason, message, position)
      order by given.position;
  end if;
  return true;
end
$$;
comment on function bulkhead.record_turn is 'Stores the status of a job, and the events of the jobs of one shard, if the fence holds.';
