-- A line that was met before is counted again; a decision on it is kept until there is another.
-- Parameters: the frame written, $source, $run_id.
insert into quarantine (
    raw_sha256, reason, source_id, source_seq, event_id, field, detail, raw, is_held, run_id, resolution,
    set_id, annotator_id, revision
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
    $run_id as run_id,
    resolution,
    set_id,
    annotator_id,
    revision
from written
on conflict do update set
    count_seen = count_seen + 1,
    resolution = coalesce(excluded.resolution, quarantine.resolution);
