-- The events of one batch and type in their order, through the index event_by_type.
-- Parameters: $batch_id, $type, $after.
select
    seq,
    event_id,
    batch_id,
    type,
    payload,
    origin,
    at,
    lower(hex(sha256)) as sha256
from event
where batch_id = $batch_id and type = $type and seq > $after
order by seq;
