-- Which rankings a run uses, whether stored by it or by an earlier run. A stored ranking that a lead
-- discarded is in no list made since.
-- Grain: one row per run and event. No key: an ingest replaces the rows of its run, and
-- checks/ledger proves that each event is stored.
create table run_event (
    run_id varchar not null,
    event_id uuid not null
);
