-- Parameters: the frame new_ranking_items.
insert into ranking_item (ranking_id, response_id, tier, display_pos, quality, flags)
select
    ranking_id,
    response_id,
    tier,
    display_pos,
    quality,
    flags
from new_ranking_items;
