-- Pairs of mid-ranks that two annotators gave to one response, both ways round. A mid-rank is the mean
-- of the places that tied responses share; `value` is the mid-rank, doubled. Rankings of a part of
-- their responses only are left out: their ranks are of another scale.
-- Grain: one row per number of responses, family, number of raters and two values.
with ranks as (
    select
        shared_rankings.set_id,
        shared_rankings.annotator_number,
        shared_rankings.family_number,
        places.response_id,
        2 * rank() over (partition by places.ranking_id order by places.place)
        + count(*) over (partition by places.ranking_id, places.place) - 1 as twice_rank,
        count(*) over (partition by places.ranking_id) as count_responses
    from shared_rankings
    inner join places on shared_rankings.ranking_id = places.ranking_id
    where shared_rankings.coverage <> 'subset'
),

rated as (
    select
        *,
        count(*) over (partition by set_id, response_id) as count_raters
    from ranks
)

select
    ours.count_responses,
    ours.family_number,
    ours.count_raters,
    cast(ours.twice_rank as integer) as first_rank,
    cast(theirs.twice_rank as integer) as second_rank,
    count(*) as times
from rated as ours
inner join rated as theirs
    on
        ours.set_id = theirs.set_id
        and ours.response_id = theirs.response_id
        and ours.annotator_number <> theirs.annotator_number
group by all
order by all;
