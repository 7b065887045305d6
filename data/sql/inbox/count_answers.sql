-- What became of the assignments of each batch.
-- Grain: one row per batch that has assignments.
-- Parameters: $batch_id (null takes all), $now.
select
    assignment.batch_id,
    sum(
        assignment.state = 'done'
        and assignment.outcome = 'ranked'
        and not assignment.is_held
        and task.purpose in ('main', 'overlap')
    ) as have,
    sum(assignment.state = 'done' and assignment.outcome = 'ranked') as ranked,
    sum(assignment.state = 'done' and assignment.outcome = 'not_rankable') as not_rankable,
    sum(assignment.state = 'done' and assignment.outcome = 'skipped') as skipped,
    sum(assignment.state = 'done' and assignment.is_held) as held,
    sum(
        assignment.state = 'done'
        and assignment.is_held
        and task.purpose in ('main', 'overlap')
    ) as held_to_train,
    sum(assignment.state = 'discarded') as discarded,
    sum(assignment.state = 'done' and assignment.is_late) as late,
    sum(assignment.state = 'open' and assignment.lease_ends_at > $now) as in_work
from assignment
inner join task
    on assignment.batch_id = task.batch_id and assignment.set_id = task.set_id
where $batch_id is null or assignment.batch_id = $batch_id
group by assignment.batch_id;
