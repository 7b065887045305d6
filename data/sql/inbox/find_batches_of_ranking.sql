-- The batches that a ranking stands in.
-- Parameters: $ranking_id.
select batch_id
from event
where event_id = $ranking_id and type = 'ranking'
order by seq;
