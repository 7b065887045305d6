-- What an annotator has had.
create index assignment_by_annotator on assignment (annotator_id, set_id, state);
