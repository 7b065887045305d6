-- Rankings whose tiers leave a gap or start above 1, or that were not ranked but carry tiers.
-- Grain: one row per ranking; must be empty.
-- Parameters: $run_id.
with tiers as (
    select
        ranking.ranking_id,
        ranking.outcome,
        coalesce(max(ranking_item.tier), 0) as last_tier,
        coalesce(
            bit_count(bit_or(cast(1 as integer) << cast(ranking_item.tier as integer))), 0
        ) as count_tiers
    from run_event
    inner join ranking on run_event.event_id = ranking.ranking_id
    inner join ranking_item on ranking.ranking_id = ranking_item.ranking_id
    where run_event.run_id = $run_id
    group by ranking.ranking_id, ranking.outcome
)

select
    ranking_id,
    outcome,
    last_tier,
    count_tiers
from tiers
where last_tier != count_tiers or (outcome = 'ranked') != (count_tiers > 0);
