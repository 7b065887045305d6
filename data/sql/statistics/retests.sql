-- How an annotator ranked the same responses the first and the second time: strict pairs alone.
-- Grain: one row per annotator and retest set.
select
    retests.annotator_number,
    retests.family_number,
    count(*) as ordered,
    count(*) filter (where then_pairs.first_lead * now_pairs.first_lead > 0) as alike
from answers as retests
inner join ranking_set on retests.set_id = ranking_set.set_id
inner join answers as originals
    on ranking_set.retest_of = originals.set_id and retests.annotator_number = originals.annotator_number
inner join ranked_pairs as now_pairs on retests.ranking_id = now_pairs.ranking_id
inner join ranked_pairs as then_pairs
    on
        originals.ranking_id = then_pairs.ranking_id
        and now_pairs.first_id = then_pairs.first_id
        and now_pairs.second_id = then_pairs.second_id
where then_pairs.first_lead * now_pairs.first_lead <> 0
group by retests.set_id, retests.annotator_number, retests.family_number
order by retests.annotator_number, retests.family_number, ordered, alike;
