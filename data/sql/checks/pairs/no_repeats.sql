-- Pairs that stand twice.
-- Grain: one row per ranking, chosen and rejected response; must be empty.
select
    prompt_id,
    ranking_id,
    chosen_id,
    rejected_id
from pairs
group by prompt_id, ranking_id, chosen_id, rejected_id
having count(*) > 1;
