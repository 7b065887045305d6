-- Parameters: $batch_id, $seq, $at.
update batch set
    finished_at = $at,
    finished_seq = $seq
where batch_id = $batch_id;
