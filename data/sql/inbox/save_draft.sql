-- An overtaken draft renews the lease and leaves the newer one.
-- Parameters: $batch_id, $set_id, $annotator_id, $draft, $rev, $lease_ends_at.
update assignment set
    draft = iif($rev > draft_rev, $draft, draft),
    draft_rev = max($rev, draft_rev),
    lease_ends_at = $lease_ends_at
where
    batch_id = $batch_id
    and set_id = $set_id
    and annotator_id = $annotator_id
    and state = 'open';
