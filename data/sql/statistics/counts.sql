-- How much there is.
-- Grain: one row.
with answered as (
    select
        count(*) as answers,
        count(*) filter (where is_ranked) as rankings,
        count(distinct family_number) as families
    from answers
),

people as (
    select count(*) as annotators
    from annotators
),

shared as (
    select count(distinct set_id) as shared_sets
    from shared_rankings
)

select
    answered.answers,
    answered.rankings,
    people.annotators,
    shared.shared_sets,
    answered.families
from answered
cross join people
cross join shared;
