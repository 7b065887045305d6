-- Parameters: $batch_id, $set_id, $annotator_id, $now, $lease_ends_at.
update assignment set
    handed_out_at = iif(state = 'open', handed_out_at, $now),
    state = 'open',
    lease_ends_at = $lease_ends_at
where batch_id = $batch_id and set_id = $set_id and annotator_id = $annotator_id;
