-- Prompts of the snapshot with the split of their family.
-- Grain: one row per prompt.
select
    ---------- ids
    prompt_id,
    family_id,
    norm_sha256,

    ---------- texts
    messages,

    ---------- groups
    split,
    stratum
from prompt;
