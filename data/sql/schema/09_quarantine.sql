-- Rows that did not enter, kept whole with their first reason. is_held: valid but odd, waits for
-- a person's decision. The resolution and the count are the only columns ever updated.
-- Grain: one row per refused line of a source.
create table quarantine (
    raw_sha256 varchar not null,
    reason varchar not null,
    source_id varchar not null,
    source_seq bigint not null,
    event_id varchar,
    field varchar not null,
    detail varchar not null,
    raw varchar not null,
    is_held boolean not null,
    run_id varchar not null,
    first_seen_at timestamptz not null default now(),
    count_seen uinteger not null default 1,
    resolution varchar check (resolution in ('fixed', 'discarded', 'accepted')),
    primary key (raw_sha256, reason, source_id, source_seq)
);
