-- Prompts whose pairs weigh more than one prompt, and pairs without weight.
-- Grain: one row per prompt; must be empty.
select
    prompt_id,
    sum(weight) as weight
from pairs
group by prompt_id
having sum(weight) > 1 + 1e-9 or min(weight) <= 0;
