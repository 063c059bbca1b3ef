-- oldest reader: 2
--
-- Changes of layer job that were meant to overrule those who keep its fields in Kubernetes. Who does not know of it writes
-- none.

alter table bulkhead.goal_revision
  add column take_over boolean not null default false check (not take_over or layer = 'job');
comment on column bulkhead.goal_revision.take_over is 'Whether whoever wrote it meant to overrule those who keep the job''s fields in Kubernetes: the StreamJob is then written over.';
