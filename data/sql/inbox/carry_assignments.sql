-- The answers that annotators gave in earlier batches to sets of a new one.
-- Parameters: $batch_id.
insert into assignment (
    batch_id, set_id, annotator_id, state, display_order, handed_out_at, lease_ends_at, answer_id,
    revision, outcome, answered_at, revised_at, is_held, is_late
)
select
    $batch_id,
    earlier.set_id,
    earlier.annotator_id,
    earlier.state,
    earlier.display_order,
    earlier.handed_out_at,
    earlier.lease_ends_at,
    earlier.answer_id,
    max(earlier.revision) as revision,
    earlier.outcome,
    earlier.answered_at,
    earlier.revised_at,
    earlier.is_held,
    earlier.is_late
from task
inner join assignment as earlier on task.set_id = earlier.set_id
where
    task.batch_id = $batch_id
    and earlier.batch_id != $batch_id
    and earlier.state = 'done'
group by earlier.set_id, earlier.annotator_id;
