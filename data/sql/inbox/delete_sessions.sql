-- Parameters: $annotator_id.
delete from session
where annotator_id = $annotator_id;
