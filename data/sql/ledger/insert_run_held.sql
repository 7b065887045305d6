-- Parameters: the frame written (source_seq, decision_id, resolution), $source, $run_id.
insert into run_held (run_id, source_id, source_seq, decision_id)
select
    $run_id as run_id,
    $source as source_id,
    source_seq,
    decision_id
from written;
