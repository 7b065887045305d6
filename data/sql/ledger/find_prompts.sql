-- The stored prompts among those wanted.
-- Grain: one row per prompt.
-- Parameters: the frame wanted (prompt_id).
select
    prompt.prompt_id,
    prompt.content_sha256
from prompt
semi join wanted on prompt.prompt_id = wanted.prompt_id;
