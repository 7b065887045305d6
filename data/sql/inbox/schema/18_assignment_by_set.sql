-- The answers to a set, of whatever batch.
create index assignment_by_set on assignment (set_id, annotator_id);
