-- Parameters: $annotator_id, $is_active.
update annotator set is_active = $is_active
where annotator_id = $annotator_id;
