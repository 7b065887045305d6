-- The batches that hold a set.
create index task_by_set on task (set_id);
