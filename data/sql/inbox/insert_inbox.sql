-- Parameters: $version, $inbox_id, $shuffle_secret, $created_at.
insert into inbox (version, inbox_id, shuffle_secret, created_at)
values ($version, $inbox_id, $shuffle_secret, $created_at);
