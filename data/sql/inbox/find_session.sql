-- Parameters: $session_sha256, $now.
select annotator_id
from session
where session_sha256 = $session_sha256 and ends_at > $now;
