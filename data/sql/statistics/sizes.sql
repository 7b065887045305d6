-- Training rankings by the number of their responses and of the tiers that they use.
-- Grain: one row per number of responses and of tiers.
with tiers as (
    select
        ranking_id,
        max(tier) as count_tiers
    from stg_ranking_items
    group by ranking_id
)

select
    answers.count_responses as k,
    tiers.count_tiers as tiers,
    count(*) as rankings
from answers
inner join tiers on answers.ranking_id = tiers.ranking_id
where answers.is_training
group by answers.count_responses, tiers.count_tiers
order by answers.count_responses, tiers.count_tiers;
