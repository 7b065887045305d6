-- Lines of a run that wait for a decision or were decided, with the texts that they rank; the
-- undecided first.
-- Grain: one row per refused line of a source.
-- Parameters: $run_id, $max_rows.
with texts as (
    select
        ranking_set_item.set_id,
        list(struct_pack(response_id := response.response_id, text := response.text)) as responses
    from ranking_set_item
    inner join response on ranking_set_item.response_id = response.response_id
    group by ranking_set_item.set_id
)

select
    run_held.decision_id,
    quarantine.annotator_id,
    quarantine.set_id,
    quarantine.revision,
    quarantine.reason,
    quarantine.field,
    quarantine.detail,
    quarantine.resolution,
    prompt.messages,
    texts.responses,
    quarantine.raw
from run_held
inner join quarantine
    on run_held.source_id = quarantine.source_id and run_held.source_seq = quarantine.source_seq
inner join ranking_set on quarantine.set_id = ranking_set.set_id
inner join prompt on ranking_set.prompt_id = prompt.prompt_id
inner join texts on ranking_set.set_id = texts.set_id
where run_held.run_id = $run_id and quarantine.is_held
order by quarantine.resolution is not null, run_held.source_id, run_held.source_seq, quarantine.reason
limit $max_rows;
