-- The stored responses among those wanted.
-- Grain: one row per response.
-- Parameters: the frame wanted (response_id).
select
    response.response_id,
    response.prompt_id,
    response.text_sha256
from response
semi join wanted on response.response_id = wanted.response_id;
