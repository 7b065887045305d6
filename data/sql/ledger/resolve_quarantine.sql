-- Parameters: the frame written (source_seq, decision_id, resolution), $source.
update quarantine
set resolution = written.resolution
from written
where
    quarantine.source_id = $source
    and quarantine.source_seq = written.source_seq
    and quarantine.is_held;
