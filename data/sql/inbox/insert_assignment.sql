-- Parameters: $batch_id, $set_id, $annotator_id, $display_order, $now, $lease_ends_at.
insert into assignment (
    batch_id, set_id, annotator_id, state, display_order, handed_out_at, lease_ends_at
)
values ($batch_id, $set_id, $annotator_id, 'open', $display_order, $now, $lease_ends_at);
