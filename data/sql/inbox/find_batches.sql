-- Parameters: $batch_id; null takes all.
select
    batch_id,
    name,
    campaign,
    guideline_version,
    wanted,
    deadline,
    allow_top,
    config,
    retest_after_seconds,
    published_at,
    finished_at,
    finished_seq,
    withdrawn_at
from batch
where $batch_id is null or batch_id = $batch_id
order by published_at, batch_id;
