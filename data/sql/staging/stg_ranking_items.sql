-- What each ranking says of each response; tier is null where it was not ranked.
-- Grain: one row per ranking and response.
select
    ---------- ids
    ranking_id,
    response_id,

    ---------- numerics
    cast(tier as integer) as tier,
    cast(display_pos as integer) as display_pos
from ranking_item;
