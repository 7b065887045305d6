-- One session, and those that have ended.
-- Parameters: $session_sha256, $now; either may be null.
delete from session
where session_sha256 = $session_sha256 or ends_at <= $now;
