-- Parameters: $run_id.
delete from run_event
where run_id = $run_id;
