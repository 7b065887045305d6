-- What annotators have done. An answer that was carried into a later batch counts once.
-- Grain: one row per account; null takes all.
-- Parameters: $annotator_id, $now, $midnight.
select
    annotator.annotator_id,
    count(distinct iif(assignment.state = 'done', assignment.answer_id, null)) as done,
    count(
        distinct iif(
            assignment.state = 'done' and assignment.outcome = 'skipped', assignment.answer_id, null
        )
    ) as skipped,
    coalesce(sum(assignment.state = 'open' and assignment.lease_ends_at > $now), 0) as open,
    count(distinct iif(assignment.answered_at >= $midnight, assignment.answer_id, null)) as today,
    count(
        distinct iif(assignment.state = 'done' and assignment.is_held, assignment.answer_id, null)
    ) as held,
    count(distinct iif(assignment.state = 'discarded', assignment.answer_id, null)) as discarded,
    count(
        distinct iif(assignment.state = 'done' and assignment.is_late, assignment.answer_id, null)
    ) as late
from annotator
left join assignment on annotator.annotator_id = assignment.annotator_id
where $annotator_id is null or annotator.annotator_id = $annotator_id
group by annotator.annotator_id;
