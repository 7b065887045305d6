-- Responses of the pairs' snapshot.
-- Grain: one row per response.
with responses as (
    select * from stg_responses
)

select
    response_id,
    prompt_id,
    text,
    generator
from responses
order by response_id;
