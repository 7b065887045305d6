-- Lines that did not enter at once, kept whole with their first reason. is_held: a valid ranking that
-- is odd or was discarded, with what it answers; a person decides on it. The resolution and the count
-- are the only columns ever updated.
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
    set_id varchar,
    annotator_id varchar,
    revision usmallint,
    run_id varchar not null,
    first_seen_at timestamptz not null default now(),
    count_seen uinteger not null default 1,
    resolution varchar check (resolution in ('fixed', 'discarded', 'accepted')),
    primary key (raw_sha256, reason, source_id, source_seq),
    check (is_held = (revision is not null))
);
