-- The events behind the answers to a batch: each ranking, what it supersedes, and the decisions on
-- them, in the order of the log. An event that stands in several batches comes once.
-- Parameters: $batch_id, $set_id; a null set takes all.
with recursive answer (event_id) as (
    select answer_id
    from assignment
    where
        batch_id = $batch_id
        and ($set_id is null or set_id = $set_id)
        and answer_id is not null
    union
    select lower(json_extract(cast(event.payload as text), '$.supersedes'))
    from answer
    inner join event on answer.event_id = event.event_id
    where json_extract(cast(event.payload as text), '$.supersedes') is not null
),

found as (
    select
        event.seq,
        event.event_id,
        event.type,
        event.payload
    from answer
    inner join event on answer.event_id = event.event_id
    where event.type = 'ranking'
    union all
    select
        event.seq,
        event.event_id,
        event.type,
        event.payload
    from event
    where
        event.type != 'ranking'
        and event.type = 'decision'
        and json_extract(cast(event.payload as text), '$.event_id') in (select answer.event_id from answer)
)

select
    event_id,
    type,
    payload,
    min(seq) as seq
from found
group by event_id, type
order by seq;
