-- Pairs of a response with itself.
-- Grain: one row per pair; must be empty.
select
    ranking_id,
    chosen_id
from pairs
where chosen_id = rejected_id;
