-- Pairs that a ranking of their own ties, or that stand without a gap.
-- Grain: one row per pair; must be empty.
select
    pairs.ranking_id,
    pairs.chosen_id,
    pairs.rejected_id
from pairs
left join comparisons
    on
        pairs.ranking_id = comparisons.ranking_id
        and comparisons.first_id = least(pairs.chosen_id, pairs.rejected_id)
        and comparisons.second_id = greatest(pairs.chosen_id, pairs.rejected_id)
where pairs.tier_gap < 1 or comparisons.is_tie;
