-- Rankings that name a response twice, or show two at one place.
-- Grain: one row per ranking; must be empty.
-- Parameters: $run_id.
with rankings as (
    select distinct event_id as ranking_id
    from run_event
    where run_id = $run_id
),

counts as (
    select
        ranking_item.ranking_id,
        count(*) as count_items,
        count(distinct ranking_item.response_id) as count_responses,
        bit_count(bit_or(cast(1 as integer) << cast(ranking_item.display_pos as integer))) as count_positions,
        max(ranking_item.display_pos) as last_position
    from rankings
    inner join ranking_item on rankings.ranking_id = ranking_item.ranking_id
    group by ranking_item.ranking_id
)

select
    ranking_id,
    count_items,
    count_responses,
    count_positions
from counts
where
    count_items != count_responses
    or count_items != count_positions
    or count_items != last_position;
