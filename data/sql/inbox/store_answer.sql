-- Parameters: $batch_id, $set_id, $annotator_id, $display_order, $answer_id, $revision, $outcome,
-- $is_held, $is_late, $now.
insert into assignment (
    batch_id, set_id, annotator_id, state, display_order, handed_out_at, lease_ends_at, answer_id,
    revision, outcome, answered_at, is_held, is_late
)
values (
    $batch_id, $set_id, $annotator_id, 'done', $display_order, $now, $now, $answer_id, $revision,
    $outcome, $now, $is_held, $is_late
)
on conflict (batch_id, set_id, annotator_id) do update set
    state = 'done',
    draft = null,
    display_order = excluded.display_order,
    answer_id = excluded.answer_id,
    revision = excluded.revision,
    outcome = excluded.outcome,
    answered_at = coalesce(answered_at, excluded.answered_at),
    revised_at = iif(answered_at is null, null, excluded.answered_at),
    is_held = excluded.is_held,
    is_late = excluded.is_late;
