-- Parameters: $run_id.
delete from run_set_item
where run_id = $run_id;
