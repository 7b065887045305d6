-- Strict pairs, each annotator's own.
-- Grain: one row per ranking, chosen and rejected response.
select
    split,
    family_id,
    prompt_id,
    set_id,
    ranking_id,
    annotator_id,
    pair_weight as weight,
    cast(abs(first_lead) as integer) as tier_gap,
    case when first_lead > 0 then first_id else second_id end as chosen_id,
    case when first_lead > 0 then second_id else first_id end as rejected_id
from comparisons
where not is_tie;
