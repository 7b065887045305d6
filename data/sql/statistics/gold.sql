-- Gold rankings, and whether every damaged response is at most as good as every whole one.
-- Grain: one row per ranking that compares a damaged response with a whole one.
select
    answers.annotator_number,
    answers.family_number,
    1 as rankings,
    cast(
        bool_and(
            case
                when first_responses.generator = 'damaged' then ranked_pairs.first_lead <= 0
                else ranked_pairs.first_lead >= 0
            end
        ) as integer
    ) as passed
from answers
inner join ranked_pairs on answers.ranking_id = ranked_pairs.ranking_id
inner join stg_responses as first_responses on ranked_pairs.first_id = first_responses.response_id
inner join stg_responses as second_responses on ranked_pairs.second_id = second_responses.response_id
where
    answers.purpose = 'gold'
    and (first_responses.generator = 'damaged') <> (second_responses.generator = 'damaged')
group by answers.ranking_id, answers.annotator_number, answers.family_number
order by answers.annotator_number, answers.family_number, passed;
