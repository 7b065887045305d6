-- The pairs of responses that training rankings compare, ties included.
-- Grain: one row per ranking and unordered pair of responses.
with rankings as (
    select * from training_rankings
),

pairs as (
    select * from ranked_pairs
)

select
    rankings.split,
    rankings.family_id,
    rankings.prompt_id,
    rankings.set_id,
    rankings.ranking_id,
    rankings.annotator_id,
    pairs.first_id,
    pairs.second_id,
    pairs.first_lead,
    rankings.pair_weight,
    pairs.first_lead = 0 as is_tie
from pairs
inner join rankings on pairs.ranking_id = rankings.ranking_id;
