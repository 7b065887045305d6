-- Prompts of the pairs' snapshot, with or without a pair.
-- Grain: one row per prompt.
with prompts as (
    select * from stg_prompts
)

select
    prompt_id,
    family_id,
    split,
    messages,
    stratum
from prompts
order by prompt_id;
