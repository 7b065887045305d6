-- The tasks of a batch in their order.
-- Parameters: $batch_id, $set_id; a null set takes all.
select
    set_id,
    purpose,
    retest_of,
    want,
    priority,
    guideline_version,
    campaign,
    messages,
    responses,
    count_words,
    shown_sha256
from task
where batch_id = $batch_id and ($set_id is null or set_id = $set_id)
order by position;
