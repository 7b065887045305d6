-- The sets of a run published for ranking.
-- Grain: one row per batch.
create table batch (
    batch_id text primary key,
    name text not null,
    campaign text not null,
    guideline_version text not null,
    wanted integer not null check (wanted >= 0),
    deadline text,
    allow_top integer not null check (allow_top in (0, 1)),
    config text not null check (json_valid(config)),
    retest_after_seconds integer not null check (retest_after_seconds >= 0),
    published_at text not null,
    finished_at text,
    finished_seq integer,
    withdrawn_at text,
    check ((finished_at is null) = (finished_seq is null))
) strict;
