-- Accounts, the oldest first; null takes all.
-- Parameters: $annotator_id, $token_sha256.
select
    annotator_id,
    role,
    name,
    max_per_day,
    is_active,
    created_at
from annotator
where
    ($annotator_id is null or annotator_id = $annotator_id)
    and ($token_sha256 is null or token_sha256 = $token_sha256)
order by created_at, rowid;
