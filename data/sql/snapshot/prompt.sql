-- The prompts of a run's sets, with the split that this run gave them.
-- Grain: one row per prompt.
-- Parameters: the frame run_prompts, $run_id.
with used as (
    select distinct ranking_set.prompt_id
    from run_set_item
    inner join ranking_set on run_set_item.set_id = ranking_set.set_id
    where run_set_item.run_id = $run_id
)

select
    prompt.prompt_id,
    run_prompts.family_id,
    run_prompts.split,
    run_prompts.messages,
    run_prompts.stratum,
    prompt.norm_sha256
from used
inner join prompt on used.prompt_id = prompt.prompt_id
inner join run_prompts on used.prompt_id = run_prompts.prompt_id
order by prompt.prompt_id;
