-- Sets whose number of distinct responses is not k, or with a response to another prompt.
-- Grain: one row per set; must be empty.
-- Parameters: $run_id.
with used as (
    select distinct set_id
    from run_set_item
    where run_id = $run_id
),

counts as (
    select
        ranking_set.set_id,
        ranking_set.k,
        count(*) as count_items,
        count(distinct ranking_set_item.response_id) as count_responses,
        count(*) filter (where response.prompt_id != ranking_set.prompt_id) as count_foreign
    from used
    inner join ranking_set on used.set_id = ranking_set.set_id
    inner join ranking_set_item on ranking_set.set_id = ranking_set_item.set_id
    inner join response on ranking_set_item.response_id = response.response_id
    group by ranking_set.set_id, ranking_set.k
)

select
    set_id,
    k,
    count_items,
    count_foreign
from counts
where k != count_items or k != count_responses or count_foreign > 0;
