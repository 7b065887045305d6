-- Dialogues that stand, after normalisation, in two splits.
-- Grain: one row per normalised dialogue; must be empty.
select
    norm_sha256,
    min(prompt_id) as first_prompt_id,
    max(prompt_id) as last_prompt_id
from stg_prompts
group by norm_sha256
having count(distinct split) > 1;
