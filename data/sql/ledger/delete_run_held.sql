-- Parameters: $run_id.
delete from run_held
where run_id = $run_id;
