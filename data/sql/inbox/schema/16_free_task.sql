-- Tasks that want more answers than they have and are in work for, in batches that hand out, with
-- the batch's place in the queue. Cross join: batches first, most of which are over.
create view free_task as
select
    task.batch_id,
    task.set_id,
    task.retest_of,
    task.priority,
    batch.published_at,
    batch.retest_after_seconds
from batch
cross join task
where
    batch.batch_id = task.batch_id
    and batch.finished_at is null
    and batch.withdrawn_at is null
    and task.want > (
        select count(*)
        from assignment
        where
            assignment.batch_id = task.batch_id
            and assignment.set_id = task.set_id
            and assignment.state in ('open', 'done')
    );
