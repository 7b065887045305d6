-- All pairs of responses that a current ranking compares, of any set, ties included. A positive lead
-- says that the first response is the better one.
-- Grain: one row per ranking and unordered pair of responses.
with places as (
    select * from places
)

select
    first_places.ranking_id,
    first_places.response_id as first_id,
    second_places.response_id as second_id,
    second_places.place - first_places.place as first_lead,
    first_places.display_pos < second_places.display_pos as is_first_shown_earlier
from places as first_places
inner join places as second_places
    on
        first_places.ranking_id = second_places.ranking_id
        and first_places.response_id < second_places.response_id
where first_places.is_ranked or second_places.is_ranked;
