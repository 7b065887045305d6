-- Parameters: the frame written.
insert into ranking (
    ranking_id, set_id, annotator_id, revision, supersedes, outcome, coverage, skip_reason, active_ms,
    started_at, submitted_at, ui_version
)
select
    ranking_id,
    set_id,
    annotator_id,
    revision,
    supersedes,
    outcome,
    coverage,
    skip_reason,
    active_ms,
    started_at,
    submitted_at,
    ui_version
from written;
