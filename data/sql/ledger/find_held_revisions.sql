-- Valid answers to the sets wanted that were set aside.
-- Grain: one row per refused line of a source.
-- Parameters: the frame wanted (set_id).
select
    quarantine.set_id,
    quarantine.annotator_id,
    quarantine.revision,
    quarantine.event_id
from quarantine
semi join wanted on quarantine.set_id = wanted.set_id
where quarantine.is_held
order by quarantine.source_id, quarantine.source_seq;
