-- How alike two annotators ranked a set. `score` gives 1 to a pair ordered or tied alike, 1/2 to a tie
-- against a strict order.
-- Grain: one row per set and two annotators.
select
    ours.set_id,
    ours.family_number,
    ours.annotator_number as first_annotator,
    theirs.annotator_number as second_annotator,
    count(*) as compared,
    count(*) filter (where ours.vote * theirs.vote <> 0) as ordered,
    count(*) filter (where ours.vote * theirs.vote > 0) as alike,
    sum(1 - abs(ours.vote - theirs.vote) / 2.0) as score,
    count(*) filter (where ours.vote <> 0) as first_ordered,
    count(*) filter (where theirs.vote <> 0) as second_ordered
from shared_pairs as ours
inner join shared_pairs as theirs
    on
        ours.set_id = theirs.set_id
        and ours.first_id = theirs.first_id
        and ours.second_id = theirs.second_id
        and ours.annotator_number < theirs.annotator_number
group by ours.set_id, ours.family_number, ours.annotator_number, theirs.annotator_number;
