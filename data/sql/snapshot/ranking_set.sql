-- The sets of a run.
-- Grain: one row per set.
-- Parameters: $run_id.
with used as (
    select distinct set_id
    from run_set_item
    where run_id = $run_id
)

select
    ranking_set.set_id,
    ranking_set.prompt_id,
    ranking_set.k,
    ranking_set.purpose,
    ranking_set.retest_of
from used
inner join ranking_set on used.set_id = ranking_set.set_id
order by ranking_set.set_id;
