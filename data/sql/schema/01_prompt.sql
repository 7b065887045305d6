-- A dialogue that waits for a reply. Its family and split depend on a run and stand in snapshots.
-- Grain: one row per prompt.
create table prompt (
    prompt_id varchar primary key,
    messages json not null,
    content_sha256 varchar not null check (length(content_sha256) = 64),
    norm_sha256 varchar not null check (length(norm_sha256) = 64),
    created_at timestamptz not null default now()
);
