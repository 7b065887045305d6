-- The sets of a run among those wanted, with what rankings are checked against.
-- Grain: one row per set.
-- Parameters: the frame wanted (set_id), $run_id.
with items as (
    select
        run_set_item.set_id,
        list(run_set_item.response_id) as response_ids,
        list(run_set_item.generator) as generators
    from run_set_item
    semi join wanted on run_set_item.set_id = wanted.set_id
    where run_set_item.run_id = $run_id
    group by run_set_item.set_id
)

select
    items.set_id,
    items.response_ids,
    items.generators,
    ranking_set.count_words,
    ranking_set.shown_sha256
from items
inner join ranking_set on items.set_id = ranking_set.set_id;
