-- The rankings of a run. Times are left out: they say nothing about preference. How long an annotator
-- took is part of the answer.
-- Grain: one row per ranking.
-- Parameters: $run_id.
with used as (
    select distinct event_id
    from run_event
    where run_id = $run_id
)

select
    cast(ranking.ranking_id as varchar) as ranking_id,
    ranking.set_id,
    ranking.annotator_id,
    annotator.role as annotator_role,
    ranking.revision,
    ranking.outcome,
    ranking.coverage,
    ranking.skip_reason,
    ranking.active_ms
from used
inner join ranking on used.event_id = ranking.ranking_id
inner join annotator on ranking.annotator_id = annotator.annotator_id
order by ranking.ranking_id;
