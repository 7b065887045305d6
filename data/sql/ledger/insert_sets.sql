-- Parameters: the frame written.
insert into ranking_set (
    set_id, prompt_id, k, purpose, retest_of, guideline_version, campaign, count_words, shown_sha256,
    content_sha256
)
select
    set_id,
    prompt_id,
    k,
    purpose,
    retest_of,
    guideline_version,
    campaign,
    count_words,
    shown_sha256,
    content_sha256
from written;
