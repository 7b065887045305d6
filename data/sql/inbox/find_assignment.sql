-- Parameters: $batch_id, $set_id, $annotator_id.
select
    assignment.batch_id,
    assignment.set_id,
    assignment.annotator_id,
    batch.allow_top,
    assignment.display_order,
    assignment.handed_out_at,
    assignment.lease_ends_at,
    assignment.state,
    assignment.draft,
    assignment.draft_rev,
    assignment.revision,
    assignment.answer_id,
    assignment.outcome,
    assignment.is_held,
    assignment.is_late
from assignment
inner join batch on assignment.batch_id = batch.batch_id
where
    assignment.batch_id = $batch_id
    and assignment.set_id = $set_id
    and assignment.annotator_id = $annotator_id;
