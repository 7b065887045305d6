-- Parameters: $annotator_id, $token_sha256.
update annotator set token_sha256 = $token_sha256
where annotator_id = $annotator_id;
