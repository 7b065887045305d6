-- Parameters: the frame new_quarantine, $source, $run_id.
insert into quarantine (
    raw_sha256, reason, source_id, source_seq, event_id, field, detail, raw, is_held, run_id
)
select
    raw_sha256,
    reason,
    $source as source_id,
    source_seq,
    event_id,
    field,
    detail,
    raw,
    is_held,
    $run_id as run_id
from new_quarantine
on conflict do update set count_seen = count_seen + 1;
