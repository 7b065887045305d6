-- Which rankings a run used, whether stored by it or by an earlier run.
-- Grain: one row per run and event. No key: an ingest replaces the rows of its run.
create table run_event (
    run_id varchar not null,
    event_id uuid not null references ingest_event (event_id)
);
