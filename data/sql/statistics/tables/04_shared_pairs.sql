-- What these rankings say of each pair of responses: 1 if the first is better, -1 if the second is,
-- 0 if they are tied.
-- Grain: one row per set, annotator and unordered pair of responses.
select
    shared_rankings.set_id,
    shared_rankings.annotator_number,
    shared_rankings.family_number,
    ranked_pairs.first_id,
    ranked_pairs.second_id,
    sign(ranked_pairs.first_lead) as vote
from shared_rankings
inner join ranked_pairs on shared_rankings.ranking_id = ranked_pairs.ranking_id;
