-- Parameters: those of the columns.
insert into annotator (
    annotator_id, role, name, token_sha256, max_per_day, is_active, created_at
)
values ($annotator_id, $role, $name, $token_sha256, $max_per_day, 1, $created_at);
