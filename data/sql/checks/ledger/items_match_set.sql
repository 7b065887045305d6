-- Rankings that do not place each response of their set exactly once.
-- Grain: one row per ranking and response at fault; must be empty.
-- Parameters: $run_id.
with rankings as (
    select distinct
        ranking.ranking_id,
        ranking.set_id
    from run_event
    inner join ranking on run_event.event_id = ranking.ranking_id
    where run_event.run_id = $run_id
),

expected as (
    select
        rankings.ranking_id,
        ranking_set_item.response_id
    from rankings
    inner join ranking_set_item on rankings.set_id = ranking_set_item.set_id
),

found as (
    select
        ranking_item.ranking_id,
        ranking_item.response_id
    from rankings
    inner join ranking_item on rankings.ranking_id = ranking_item.ranking_id
)

select
    coalesce(expected.ranking_id, found.ranking_id) as ranking_id,
    coalesce(expected.response_id, found.response_id) as response_id
from expected
full outer join found
    on
        expected.ranking_id = found.ranking_id
        and expected.response_id = found.response_id
where expected.ranking_id is null or found.ranking_id is null;
