-- The current answers: the highest revision of each annotator for each set.
-- Grain: one row per set and annotator.
select
    ---------- ids
    ranking_id,
    set_id,
    annotator_id,

    ---------- numerics
    revision,

    ---------- groups
    outcome,
    coverage,
    skip_reason,

    ---------- booleans
    outcome = 'ranked' as is_ranked
from ranking
qualify row_number() over (
    partition by set_id, annotator_id
    order by revision desc
) = 1;
