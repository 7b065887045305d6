-- Other batches in work that hold a set.
-- Parameters: $batch_id, $set_id.
select batch.batch_id
from task
inner join batch on task.batch_id = batch.batch_id
where
    task.set_id = $set_id
    and task.batch_id != $batch_id
    and batch.finished_at is null
    and batch.withdrawn_at is null;
