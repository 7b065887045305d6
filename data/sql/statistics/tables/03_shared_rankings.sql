-- Training rankings of sets that several annotators ranked.
-- Grain: one row per set and annotator.
select
    ranking_id,
    set_id,
    annotator_number,
    family_number,
    coverage
from answers
where is_training
qualify count(*) over (partition by set_id) > 1;
