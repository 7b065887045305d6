-- Events of a run without a ranking, rankings of sets that the run does not have.
-- Grain: one row per event; must be empty.
-- Parameters: $run_id.
with run_sets as (
    select distinct set_id
    from run_set_item
    where run_id = $run_id
)

select
    run_event.event_id,
    ranking.set_id
from run_event
left join ranking on run_event.event_id = ranking.ranking_id
left join run_sets on ranking.set_id = run_sets.set_id
where run_event.run_id = $run_id and run_sets.set_id is null;
