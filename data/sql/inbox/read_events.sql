-- The log in its order; null takes every batch or type.
-- Parameters: $batch_id, $types (a JSON list), $after.
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
where
    seq > $after
    and ($batch_id is null or batch_id = $batch_id)
    and ($types is null or type in (select listed.value from json_each($types) as listed))
order by seq;
