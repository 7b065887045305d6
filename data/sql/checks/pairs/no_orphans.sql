-- Pairs whose prompt or one of whose responses is missing, or a response of another prompt.
-- Grain: one row per pair; must be empty.
select
    pairs.prompt_id,
    pairs.chosen_id,
    pairs.rejected_id
from pairs
left join stg_prompts as prompts on pairs.prompt_id = prompts.prompt_id
left join stg_responses as chosen
    on pairs.chosen_id = chosen.response_id and pairs.prompt_id = chosen.prompt_id
left join stg_responses as rejected
    on pairs.rejected_id = rejected.response_id and pairs.prompt_id = rejected.prompt_id
where prompts.prompt_id is null or chosen.response_id is null or rejected.response_id is null;
