-- The responses of a run's sets, with what wrote them in this run.
-- Grain: one row per response.
-- Parameters: $run_id.
with used as (
    select
        response_id,
        min(generator) as generator
    from run_set_item
    where run_id = $run_id
    group by response_id
)

select
    response.response_id,
    response.prompt_id,
    response.text,
    used.generator
from used
inner join response on used.response_id = response.response_id
order by response.response_id;
