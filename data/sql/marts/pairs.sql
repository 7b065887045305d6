-- The pairs that were built, in their stated order.
-- Grain: one row per ranking, chosen and rejected response.
-- Parameters: the table pairs.
select
    split,
    family_id,
    prompt_id,
    set_id,
    ranking_id,
    annotator_id,
    chosen_id,
    rejected_id,
    tier_gap,
    weight
from pairs
order by split, family_id, prompt_id, set_id, ranking_id, annotator_id, chosen_id, rejected_id;
