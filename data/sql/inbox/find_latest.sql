-- Parameters: $type.
select max(seq) as seq
from event
where type != 'ranking' and type = $type;
