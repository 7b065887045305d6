-- Parameters: the frame new_set_items.
insert into ranking_set_item (set_id, response_id)
select
    set_id,
    response_id
from new_set_items;
