-- Who takes a place of a task.
create index assignment_by_state on assignment (batch_id, set_id, state);
