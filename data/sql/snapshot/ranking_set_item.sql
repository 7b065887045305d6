-- The responses of each set of a run.
-- Grain: one row per set and response.
-- Parameters: $run_id.
select distinct
    set_id,
    response_id
from run_set_item
where run_id = $run_id
order by set_id, response_id;
