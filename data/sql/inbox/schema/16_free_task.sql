-- Tasks that want more answers than they have and are in work for, by lot.
create index free_task on task (batch_id, priority, lot)
where taken < want;
