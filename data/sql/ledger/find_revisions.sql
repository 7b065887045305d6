-- The stored answers to the sets wanted.
-- Grain: one row per set, annotator and revision.
-- Parameters: the frame wanted (set_id).
select
    ranking.set_id,
    ranking.annotator_id,
    ranking.revision,
    cast(ranking.ranking_id as varchar) as event_id
from ranking
semi join wanted on ranking.set_id = wanted.set_id;
