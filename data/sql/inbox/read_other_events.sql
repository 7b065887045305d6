-- Events that are no rankings, through the index other_event; a null batch takes all.
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
    and type != 'ranking'
    and type in (select listed.value from json_each($types) as listed)
order by seq;
