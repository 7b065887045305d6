-- Where tasks are left, in the order in which they are handed out: the oldest batch, its lowest
-- priority. Each priority is looked up after the one before it, not gathered from all tasks.
with recursive level as (
    select
        batch.published_at,
        batch.batch_id,
        (
            select min(task.priority)
            from task
            where task.batch_id = batch.batch_id and task.taken < task.want
        ) as priority
    from batch
    where batch.finished_at is null and batch.withdrawn_at is null
    union all
    select
        level.published_at,
        level.batch_id,
        (
            select min(task.priority)
            from task
            where
                task.batch_id = level.batch_id
                and task.taken < task.want
                and task.priority > level.priority
        ) as priority
    from level
    where level.priority is not null
)

select
    batch_id,
    priority
from level
where priority is not null
order by published_at, batch_id, priority;
