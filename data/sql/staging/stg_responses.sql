-- Responses of the snapshot.
-- Grain: one row per response.
select
    ---------- ids
    response_id,
    prompt_id,

    ---------- texts
    text,
    generator
from response;
