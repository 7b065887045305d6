-- What the rankings of a run say of each response.
-- Grain: one row per ranking and response.
-- Parameters: $run_id.
with used as (
    select distinct event_id
    from run_event
    where run_id = $run_id
)

select
    cast(ranking_item.ranking_id as varchar) as ranking_id,
    ranking_item.response_id,
    ranking_item.tier,
    ranking_item.display_pos,
    ranking_item.quality,
    ranking_item.flags
from used
inner join ranking_item on used.event_id = ranking_item.ranking_id
order by ranking_item.ranking_id, ranking_item.response_id;
