-- Parameters: $batch_id, $at.
update batch set withdrawn_at = coalesce(withdrawn_at, $at)
where batch_id = $batch_id;
