-- One annotator's answer to one set. Insert only: a correction is a new revision.
-- Grain: one row per set, annotator and revision.
create table ranking (
    ranking_id uuid primary key,
    set_id varchar not null,
    annotator_id varchar not null,
    revision usmallint not null check (revision >= 1),
    supersedes uuid,
    outcome varchar not null check (outcome in ('ranked', 'skipped', 'not_rankable')),
    coverage varchar check (coverage in ('full', 'top', 'subset')),
    skip_reason varchar,
    active_ms uinteger not null,
    started_at timestamptz not null,
    submitted_at timestamptz not null,
    ui_version varchar not null,
    unique (set_id, annotator_id, revision),
    check ((revision = 1) = (supersedes is null)),
    check ((outcome = 'ranked') = (coverage is not null)),
    check ((outcome = 'skipped') = (skip_reason is not null)),
    check (submitted_at >= started_at)
);
