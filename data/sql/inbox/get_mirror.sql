-- Parameters: $name.
select value
from mirror
where name = $name;
