-- The stored sets among those wanted.
-- Grain: one row per set.
-- Parameters: the frame wanted (set_id).
select
    ranking_set.set_id,
    ranking_set.content_sha256
from ranking_set
semi join wanted on ranking_set.set_id = wanted.set_id;
