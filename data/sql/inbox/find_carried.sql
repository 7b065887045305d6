-- The events of the answers that a new batch got from earlier ones: each answer, what it supersedes
-- and the decisions on it, in the order of the log.
-- Parameters: $batch_id.
with recursive answer (event_id) as (
    select answer_id
    from assignment
    where batch_id = $batch_id
    union
    select lower(json_extract(cast(event.payload as text), '$.supersedes'))
    from answer
    inner join event on answer.event_id = event.event_id
    where json_extract(cast(event.payload as text), '$.supersedes') is not null
)

select
    event.event_id,
    event.type,
    event.payload,
    event.batch_id
from answer
inner join event on answer.event_id = event.event_id
where event.type = 'ranking'
union
select
    event.event_id,
    event.type,
    event.payload,
    event.batch_id
from answer
inner join event on event.type = 'decision'
where json_extract(cast(event.payload as text), '$.event_id') = answer.event_id;
