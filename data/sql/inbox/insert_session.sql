-- Parameters: $session_sha256, $annotator_id, $ends_at.
insert into session (session_sha256, annotator_id, ends_at)
values ($session_sha256, $annotator_id, $ends_at);
