-- Parameters: $batch_id, $event_id.
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
where batch_id = $batch_id and event_id = $event_id;
