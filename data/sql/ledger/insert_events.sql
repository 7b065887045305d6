-- Parameters: the frame written, $source, $run_id.
insert into ingest_event (event_id, payload_sha256, source_id, source_seq, payload, run_id)
select
    event_id,
    payload_sha256,
    $source as source_id,
    source_seq,
    payload,
    $run_id as run_id
from written;
