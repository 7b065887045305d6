-- Accepted submissions as they came in; every ranking can be rebuilt from them.
-- Grain: one row per event.
create table ingest_event (
    event_id uuid primary key,
    payload_sha256 varchar not null check (length(payload_sha256) = 64),
    source_id varchar not null,
    source_seq bigint not null,
    payload json not null,
    run_id varchar not null,
    ingested_at timestamptz not null default now(),
    unique (source_id, source_seq)
);
