-- Current rankings that may train, with the weight of each of their pairs: 1 / C(K, 2), divided by
-- the number of such rankings of the prompt. Wholly tied rankings are counted: they say "equal", and
-- leaving them out would give their share to the others.
-- Grain: one row per ranking.
with rankings as (
    select * from stg_rankings
),

sets as (
    select * from stg_sets
),

prompts as (
    select * from stg_prompts
),

training as (
    select
        rankings.ranking_id,
        rankings.annotator_id,
        rankings.coverage,
        sets.set_id,
        sets.count_possible_pairs,
        prompts.prompt_id,
        prompts.family_id,
        prompts.split
    from rankings
    inner join sets on rankings.set_id = sets.set_id
    inner join prompts on sets.prompt_id = prompts.prompt_id
    where rankings.is_ranked and sets.is_training
)

select
    *,
    cast(1 as double) / count_possible_pairs / count(*) over (partition by prompt_id) as pair_weight
from training;
