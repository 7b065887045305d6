-- Parameters: $annotator_id.
select
    batch_id,
    set_id,
    state
from assignment
where annotator_id = $annotator_id and state in ('done', 'discarded')
order by coalesce(revised_at, answered_at) desc, rowid desc
limit 1;
