-- Families that stand in two splits.
-- Grain: one row per family; must be empty.
-- Parameters: the frame prompts.
select
    family_id,
    min(prompt_id) as first_prompt_id,
    max(prompt_id) as last_prompt_id
from prompts
group by family_id
having count(distinct split) > 1;
