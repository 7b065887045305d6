-- The current answers with the numbers of annotator and family; families with an answer are numbered
-- from 0.
-- Grain: one row per set and annotator.
with families as (
    select
        stg_prompts.family_id,
        cast(row_number() over (order by stg_prompts.family_id) - 1 as integer) as family_number
    from stg_rankings
    inner join stg_sets on stg_rankings.set_id = stg_sets.set_id
    inner join stg_prompts on stg_sets.prompt_id = stg_prompts.prompt_id
    group by stg_prompts.family_id
)

select
    stg_rankings.ranking_id,
    stg_rankings.set_id,
    annotators.annotator_number,
    families.family_number,
    stg_sets.count_responses,
    stg_sets.purpose,
    stg_rankings.is_ranked,
    stg_rankings.outcome,
    stg_rankings.coverage,
    stg_rankings.skip_reason,
    stg_rankings.is_ranked and stg_sets.is_training as is_training
from stg_rankings
inner join annotators on stg_rankings.annotator_id = annotators.annotator_id
inner join stg_sets on stg_rankings.set_id = stg_sets.set_id
inner join stg_prompts on stg_sets.prompt_id = stg_prompts.prompt_id
inner join families on stg_prompts.family_id = families.family_id;
