-- Parameters: $key.
select value
from mirror
where key = $key;
