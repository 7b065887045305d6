-- Where tasks are left, in the order in which they are handed out: the oldest batch, its lowest
-- priority. Cross join: batches first, most of which are over.
select
    task.batch_id,
    task.priority
from batch
cross join task
where
    batch.batch_id = task.batch_id
    and batch.finished_at is null
    and batch.withdrawn_at is null
    and task.taken < task.want
group by batch.published_at, task.batch_id, task.priority
order by batch.published_at, task.batch_id, task.priority;
