-- Sets of the snapshot. Gold, retest and calibration sets measure annotators and never train.
-- Grain: one row per set.
select
    ---------- ids
    set_id,
    prompt_id,

    ---------- groups
    purpose,

    ---------- numerics
    cast(k as integer) as count_responses,
    cast(k as integer) * (k - 1) // 2 as count_possible_pairs,

    ---------- booleans
    purpose in ('main', 'overlap') as is_training
from ranking_set;
