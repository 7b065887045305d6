-- How alike two annotators ranked each set, in a stated order.
-- Grain: one row per set and two annotators.
select
    family_number,
    first_annotator,
    second_annotator,
    compared,
    ordered,
    alike,
    score,
    first_ordered,
    second_ordered
from set_agreement
order by first_annotator, second_annotator, set_id;
