-- Parameters: the frame written.
insert into ranking_item (ranking_id, response_id, tier, display_pos, quality, flags)
select
    ranking_id,
    response_id,
    tier,
    display_pos,
    quality,
    flags
from written;
