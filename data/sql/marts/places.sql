-- The place that a current ranking gives to each response that it speaks of: its tier, or one after
-- the last tier for a response that a `top` ranking leaves out.
-- Grain: one row per ranking and response.
with rankings as (
    select * from stg_rankings
),

items as (
    select * from stg_ranking_items
)

select
    items.ranking_id,
    items.response_id,
    items.display_pos,
    items.tier is not null as is_ranked,
    coalesce(items.tier, 1 + max(items.tier) over (partition by items.ranking_id)) as place
from items
inner join rankings on items.ranking_id = rankings.ranking_id
where rankings.is_ranked and (items.tier is not null or rankings.coverage = 'top');
