-- What became of the sets that an annotator was shown.
-- Grain: one row per annotator and family.
select
    annotator_number,
    family_number,
    count(*) as answers,
    count(*) filter (where is_ranked) as rankings,
    count(*) filter (where outcome = 'skipped') as skipped,
    count(*) filter (where outcome = 'not_rankable') as not_rankable
from answers
group by annotator_number, family_number
order by annotator_number, family_number;
