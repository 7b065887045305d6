-- The annotators in the order of their numbers.
-- Grain: one row per annotator.
select annotator_id
from annotators
order by annotator_number;
