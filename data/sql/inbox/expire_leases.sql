-- Take back what others have held for longer than their lease.
-- Parameters: $annotator_id (the one who asks and keeps theirs), $now.
update assignment set state = 'expired'
where state = 'open' and lease_ends_at <= $now and annotator_id != $annotator_id
returning batch_id, set_id, annotator_id, lease_ends_at;
