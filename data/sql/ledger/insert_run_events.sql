-- Parameters: the frame written, $run_id.
insert into run_event (run_id, event_id)
select
    $run_id as run_id,
    event_id
from written;
