-- Grain: one row per annotator.
select
    annotator_id,
    role,
    is_active
from annotator;
