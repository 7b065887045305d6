-- Active seconds of each ranking whose time was measured; imported ones have none.
-- Grain: one row per ranking.
select
    answers.annotator_number,
    answers.family_number,
    ranking.active_ms / 1000.0 as seconds
from answers
inner join ranking on answers.ranking_id = ranking.ranking_id
where answers.is_ranked and ranking.active_ms > 0
order by answers.annotator_number, answers.family_number, seconds;
