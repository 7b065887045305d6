-- The shared sets on which annotators agree least.
-- Grain: one row per set.
-- Parameters: $count_rows.
with disputed as (
    select
        set_id,
        sum(ordered) as pairs,
        sum(alike) / sum(ordered) as agreement
    from set_agreement
    group by set_id
    having sum(alike) < sum(ordered)
)

select
    disputed.set_id,
    stg_sets.prompt_id,
    cast(disputed.pairs as bigint) as pairs,
    disputed.agreement,
    (
        select count(*) from shared_rankings
        where shared_rankings.set_id = disputed.set_id
    ) as annotators
from disputed
inner join stg_sets on disputed.set_id = stg_sets.set_id
order by disputed.agreement asc, disputed.pairs desc, disputed.set_id asc
limit $count_rows;
