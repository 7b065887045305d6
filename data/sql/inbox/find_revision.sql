-- The last answer of an annotator to a set, of whatever batch.
-- Parameters: $set_id, $annotator_id.
select
    answer_id,
    revision
from assignment
where set_id = $set_id and annotator_id = $annotator_id and revision >= 1
order by revision desc, coalesce(revised_at, answered_at) desc
limit 1;
