-- Parameters: $batch_id.
update batch set
    finished_at = null,
    finished_seq = null
where batch_id = $batch_id;
