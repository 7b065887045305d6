-- Parameters: the frame written, whose flags are words separated by spaces.
insert into ranking_item (ranking_id, response_id, tier, display_pos, quality, flags)
select
    ranking_id,
    response_id,
    tier,
    display_pos,
    quality,
    case when flags = '' then [] else string_split(flags, ' ') end as flags
from written;
