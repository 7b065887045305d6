-- Rows of a run that name a prompt, set, response, event or annotator which the store lacks. They are
-- no foreign keys: those cost an ingest a quarter of its time, and forbid any update of the row named.
-- Grain: one row per kind and id that is missing; must be empty.
-- Parameters: $run_id.
with sets as (
    select distinct
        run_set_item.set_id,
        ranking_set.prompt_id
    from run_set_item
    left join ranking_set on run_set_item.set_id = ranking_set.set_id
    where run_set_item.run_id = $run_id
),

rankings as (
    select distinct
        run_event.event_id,
        ranking.annotator_id
    from run_event
    left join ranking on run_event.event_id = ranking.ranking_id
    where run_event.run_id = $run_id
)

select
    'prompt' as kind,
    coalesce(sets.prompt_id, sets.set_id) as missing_id
from sets
anti join prompt on sets.prompt_id = prompt.prompt_id

union all

select
    'response' as kind,
    ranking_set_item.response_id as missing_id
from ranking_set_item
semi join sets on ranking_set_item.set_id = sets.set_id
anti join response on ranking_set_item.response_id = response.response_id

union all

select
    'event' as kind,
    cast(rankings.event_id as varchar) as missing_id
from rankings
anti join ingest_event on rankings.event_id = ingest_event.event_id

union all

select
    'annotator' as kind,
    coalesce(rankings.annotator_id, cast(rankings.event_id as varchar)) as missing_id
from rankings
anti join annotator on rankings.annotator_id = annotator.annotator_id;
