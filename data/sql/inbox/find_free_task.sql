-- A random task for an annotator: of the oldest batch, of the lowest priority, not had and not
-- written by them; a retest some time after their answer to the set that it repeats. With the
-- number of all such tasks.
-- Parameters: $annotator_id, $now.
select
    free_task.batch_id,
    free_task.set_id,
    count(*) over () as tasks
from free_task
where
    not exists (
        select 1
        from assignment as had
        where
            had.annotator_id = $annotator_id
            and had.set_id = free_task.set_id
            and (had.batch_id = free_task.batch_id or had.state != 'expired')
    )
    and not exists (
        select 1
        from task_author
        where
            task_author.batch_id = free_task.batch_id
            and task_author.set_id = free_task.set_id
            and task_author.generator = $annotator_id
    )
    and (
        free_task.retest_of is null
        or exists (
            select 1
            from assignment as earlier
            where
                earlier.annotator_id = $annotator_id
                and earlier.set_id = free_task.retest_of
                and earlier.state = 'done'
                and earlier.outcome != 'skipped'
                and unixepoch(earlier.answered_at) + free_task.retest_after_seconds
                <= unixepoch($now)
        )
    )
order by free_task.published_at, free_task.batch_id, free_task.priority, random()
limit 1;
