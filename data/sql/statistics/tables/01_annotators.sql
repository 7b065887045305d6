-- A number for each annotator with an answer, from 0, in the order of their ids.
-- Grain: one row per annotator.
select
    annotator_id,
    cast(row_number() over (order by annotator_id) - 1 as integer) as annotator_number
from stg_rankings
group by annotator_id;
