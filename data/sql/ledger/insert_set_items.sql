-- Parameters: the frame written.
insert into ranking_set_item (set_id, response_id)
select
    set_id,
    response_id
from written;
