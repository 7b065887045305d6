-- All pairs of responses that a training ranking compares, ties included. A response that a `top`
-- ranking leaves out is below every ranked one, at least one tier after the last.
-- Grain: one row per ranking and unordered pair of responses.
with rankings as (
    select * from training_rankings
),

items as (
    select
        stg_ranking_items.ranking_id,
        stg_ranking_items.response_id,
        case
            when stg_ranking_items.tier is null and rankings.coverage = 'top'
                then 1 + max(stg_ranking_items.tier) over (partition by rankings.ranking_id)
            else stg_ranking_items.tier
        end as tier,
        stg_ranking_items.tier is not null as is_ranked
    from stg_ranking_items
    inner join rankings on stg_ranking_items.ranking_id = rankings.ranking_id
),

compared as (
    select
        first_items.ranking_id,
        first_items.response_id as first_id,
        second_items.response_id as second_id,
        second_items.tier - first_items.tier as first_lead
    from items as first_items
    inner join items as second_items
        on
            first_items.ranking_id = second_items.ranking_id
            and first_items.response_id < second_items.response_id
    where
        first_items.tier is not null
        and second_items.tier is not null
        and (first_items.is_ranked or second_items.is_ranked)
)

select
    rankings.split,
    rankings.family_id,
    rankings.prompt_id,
    rankings.set_id,
    rankings.ranking_id,
    rankings.annotator_id,
    compared.first_id,
    compared.second_id,
    compared.first_lead,
    rankings.pair_weight,
    compared.first_lead = 0 as is_tie
from compared
inner join rankings on compared.ranking_id = rankings.ranking_id;
