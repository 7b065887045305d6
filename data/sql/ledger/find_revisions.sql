-- The last revision of each stored answer to the sets wanted.
-- Grain: one row per set and annotator.
-- Parameters: the frame wanted (set_id).
select
    ranking.set_id,
    ranking.annotator_id,
    cast(max_by(ranking.ranking_id, ranking.revision) as varchar) as ranking_id,
    max(ranking.revision) as revision
from ranking
semi join wanted on ranking.set_id = wanted.set_id
group by ranking.set_id, ranking.annotator_id;
