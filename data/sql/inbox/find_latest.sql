-- Parameters: $type.
select max(seq) as seq
from event
where type = $type;
