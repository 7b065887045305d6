-- How many tasks each batch has, how many have all the answers they want, how many train, and how
-- many of those have no answer yet.
-- Grain: one row per batch that has tasks.
-- Parameters: $batch_id; null takes all.
with answered as (
    select
        task.batch_id,
        task.purpose,
        task.want,
        (
            select count(*)
            from assignment
            where
                assignment.batch_id = task.batch_id
                and assignment.set_id = task.set_id
                and assignment.state = 'done'
        ) as answers
    from task
    where $batch_id is null or task.batch_id = $batch_id
)

select
    batch_id,
    count(*) as tasks,
    sum(answers >= want) as tasks_done,
    sum(answers < want and purpose != 'retest') as tasks_left,
    sum(purpose in ('main', 'overlap')) as tasks_to_train,
    sum(answers = 0 and purpose in ('main', 'overlap')) as unanswered
from answered
group by batch_id;
