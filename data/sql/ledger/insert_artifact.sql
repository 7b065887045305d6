-- Parameters: one for each column.
insert into artifact (
    kind, sha256, stage, cache_key, inputs, config, code_digest, seed, numerics, versions, run_id, seconds
)
values (
    $kind, $sha256, $stage, $cache_key, $inputs, $config, $code_digest, $seed, $numerics, $versions,
    $run_id, $seconds
)
on conflict do nothing;
