-- Strict votes on pairs that several annotators order strictly; `item` numbers the pairs from 0.
-- Grain: one row per set, annotator and unordered pair of responses.
with ordered as (
    select * from shared_pairs
    where vote <> 0
    qualify count(*) over (partition by set_id, first_id, second_id) > 1
)

select
    cast(dense_rank() over (order by set_id, first_id, second_id) - 1 as integer) as item,
    annotator_number,
    family_number,
    vote
from ordered
order by item, annotator_number;
