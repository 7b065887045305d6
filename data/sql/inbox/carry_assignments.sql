-- The answers that annotators gave in other batches to the sets of a batch, the last of each.
-- Parameters: $batch_id, $set_id; a null set takes all.
insert into assignment (
    batch_id, set_id, annotator_id, state, display_order, handed_out_at, lease_ends_at, answer_id,
    revision, outcome, answered_at, revised_at, is_held, is_late
)
select
    task.batch_id,
    other.set_id,
    other.annotator_id,
    other.state,
    other.display_order,
    other.handed_out_at,
    other.lease_ends_at,
    other.answer_id,
    max(other.revision) as revision,
    other.outcome,
    other.answered_at,
    other.revised_at,
    other.is_held,
    other.is_late
from task
inner join assignment as other on task.set_id = other.set_id
where
    task.batch_id = $batch_id
    and ($set_id is null or task.set_id = $set_id)
    and other.batch_id != $batch_id
    and other.state = 'done'
group by other.set_id, other.annotator_id
on conflict (batch_id, set_id, annotator_id) do update set
    state = excluded.state,
    draft = null,
    display_order = excluded.display_order,
    answer_id = excluded.answer_id,
    revision = excluded.revision,
    outcome = excluded.outcome,
    answered_at = excluded.answered_at,
    revised_at = excluded.revised_at,
    is_held = excluded.is_held,
    is_late = excluded.is_late
where excluded.revision > assignment.revision;
