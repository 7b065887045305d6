-- Parameters: the frame written, $run_id.
insert into run_set_item (run_id, set_id, response_id, generator)
select
    $run_id as run_id,
    set_id,
    response_id,
    generator
from written;
