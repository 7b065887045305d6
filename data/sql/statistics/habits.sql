-- How an annotator treats pairs: ties, the response shown earlier, the longer one.
-- Grain: one row per annotator and family.
with lengths as (
    select
        response_id,
        length(text) as characters
    from stg_responses
)

select
    answers.annotator_number,
    answers.family_number,
    count(*) as compared,
    count(*) filter (where ranked_pairs.first_lead = 0) as tied,
    count(*) filter (where ranked_pairs.first_lead <> 0) as ordered,
    count(*) filter (
        where
        ranked_pairs.first_lead <> 0
        and (ranked_pairs.first_lead > 0) = ranked_pairs.is_first_shown_earlier
    ) as earlier_won,
    count(*) filter (
        where ranked_pairs.first_lead <> 0 and first_lengths.characters <> second_lengths.characters
    ) as unequal,
    count(*) filter (
        where
        ranked_pairs.first_lead <> 0
        and first_lengths.characters <> second_lengths.characters
        and (ranked_pairs.first_lead > 0) = (first_lengths.characters > second_lengths.characters)
    ) as longer_won
from answers
inner join ranked_pairs on answers.ranking_id = ranked_pairs.ranking_id
inner join lengths as first_lengths on ranked_pairs.first_id = first_lengths.response_id
inner join lengths as second_lengths on ranked_pairs.second_id = second_lengths.response_id
where answers.is_training
group by answers.annotator_number, answers.family_number
order by answers.annotator_number, answers.family_number;
