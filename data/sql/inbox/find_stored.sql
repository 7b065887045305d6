-- Which ids of a batch are stored, and as what. Cross join: one search per id, in this order.
-- Parameters: $batch_id, $event_ids (a JSON list).
select
    event.event_id,
    event.type,
    event.payload
from json_each($event_ids) as wanted
cross join event
where event.batch_id = $batch_id and event.event_id = wanted.value;
