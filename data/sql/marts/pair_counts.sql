-- What became of the rankings and their comparisons.
-- Grain: one row.
-- Parameters: the table pairs.
with rankings as (
    select
        count(*) as count_current_rankings,
        count(*) filter (where outcome = 'skipped') as count_skipped,
        count(*) filter (where outcome = 'not_rankable') as count_not_rankable
    from stg_rankings
),

training as (
    select count(*) as count_training_rankings
    from training_rankings
),

ties as (
    select count(*) as count_tied_pairs
    from comparisons
    where is_tie
),

built as (
    select
        count(*) as count_pairs,
        count(distinct prompt_id) as count_prompts
    from pairs
)

select
    rankings.count_current_rankings,
    rankings.count_skipped,
    rankings.count_not_rankable,
    training.count_training_rankings,
    ties.count_tied_pairs,
    built.count_pairs,
    built.count_prompts
from rankings
cross join training
cross join ties
cross join built;
