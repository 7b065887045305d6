-- Full rankings that leave a response out, and top or subset rankings that leave none out.
-- Grain: one row per ranking; must be empty.
-- Parameters: $run_id.
with counts as (
    select
        ranking.ranking_id,
        ranking.coverage,
        count(*) - count(ranking_item.tier) as count_absent
    from run_event
    inner join ranking on run_event.event_id = ranking.ranking_id
    inner join ranking_item on ranking.ranking_id = ranking_item.ranking_id
    where run_event.run_id = $run_id and ranking.outcome = 'ranked'
    group by run_event.event_id, ranking.ranking_id, ranking.coverage
)

select
    ranking_id,
    coverage,
    count_absent
from counts
where (coverage = 'full') != (count_absent = 0);
