-- Tasks of one level for an annotator: not had and not written by them, and a retest only some time
-- after their answer to the set that it repeats. What they had in hand of a batch that is over does
-- not count as had: nobody gives it to them again there. In the order of their lots, from a given one on: a
-- random one gives a random task without a look at all of them.
-- Parameters: $batch_id, $priority, $lot, $annotator_id, $now.
select task.set_id
from task
where
    task.batch_id = $batch_id
    and task.priority = $priority
    and task.taken < task.want
    and task.lot >= $lot
    and not exists (
        select 1
        from assignment as had
        inner join batch as had_in on had.batch_id = had_in.batch_id
        where
            had.annotator_id = $annotator_id
            and had.set_id = task.set_id
            and (
                had.batch_id = task.batch_id
                or had.state in ('done', 'discarded')
                or (
                    had.state = 'open'
                    and had_in.finished_at is null
                    and had_in.withdrawn_at is null
                )
            )
    )
    and not exists (
        select 1
        from task_author
        where
            task_author.batch_id = task.batch_id
            and task_author.set_id = task.set_id
            and task_author.generator = $annotator_id
    )
    and (
        task.retest_of is null
        or exists (
            select 1
            from assignment as earlier
            inner join batch on batch.batch_id = $batch_id
            where
                earlier.annotator_id = $annotator_id
                and earlier.set_id = task.retest_of
                and earlier.state = 'done'
                and earlier.outcome != 'skipped'
                and unixepoch(earlier.answered_at) + batch.retest_after_seconds
                <= unixepoch($now)
        )
    )
order by task.lot;
