-- What an annotator has begun: in hand, or lapsed and still without another in its place.
-- Parameters: $annotator_id.
select
    mine.batch_id,
    mine.set_id,
    mine.state
from assignment as mine
inner join batch on mine.batch_id = batch.batch_id
inner join task on mine.batch_id = task.batch_id and mine.set_id = task.set_id
where
    mine.annotator_id = $annotator_id
    and batch.finished_at is null
    and batch.withdrawn_at is null
    and (
        mine.state = 'open'
        or (mine.state = 'expired' and task.taken < task.want)
    )
order by mine.state desc, mine.handed_out_at desc
limit 1;
