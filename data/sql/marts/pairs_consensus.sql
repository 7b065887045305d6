-- Strict pairs on which several rankings agree. A tie counts half for either side. The weight is the
-- pair's share of its prompt times |2p - 1|, where p is the share of votes for the chosen response.
-- The small number keeps p = 0.7 within 0.2 of 0.5 although neither is exact in binary.
-- Grain: one row per prompt, chosen and rejected response.
-- Parameters: $min_votes, $min_lean (of p from 0.5).
with votes as (
    select
        split,
        family_id,
        prompt_id,
        first_id,
        second_id,
        min(set_id) as set_id,
        count(*) as count_votes,
        avg(case when first_lead > 0 then 1.0 when first_lead = 0 then 0.5 else 0.0 end) as first_share,
        avg(abs(first_lead)) as mean_gap,
        sum(pair_weight order by ranking_id) as weight
    from comparisons
    group by split, family_id, prompt_id, first_id, second_id
)

select
    split,
    family_id,
    prompt_id,
    set_id,
    'consensus' as ranking_id,
    'consensus' as annotator_id,
    cast(greatest(1, round(mean_gap)) as integer) as tier_gap,
    weight * abs(2 * first_share - 1) as weight,
    case when first_share > 0.5 then first_id else second_id end as chosen_id,
    case when first_share > 0.5 then second_id else first_id end as rejected_id
from votes
where count_votes >= $min_votes and abs(first_share - 0.5) >= $min_lean - 1e-9;
