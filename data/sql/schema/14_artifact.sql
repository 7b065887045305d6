-- How each artifact was made.
-- Grain: one row per artifact, cache key and run.
create table artifact (
    kind varchar not null,
    sha256 varchar not null check (length(sha256) = 64),
    stage varchar not null,
    cache_key varchar not null,
    inputs json not null,
    config json not null,
    code_digest varchar not null,
    seed bigint not null,
    numerics varchar not null,
    versions json not null,
    run_id varchar not null,
    seconds double not null check (seconds >= 0),
    created_at timestamptz not null default now(),
    primary key (kind, sha256, cache_key, run_id)
);
