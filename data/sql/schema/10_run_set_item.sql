-- Which sets a run used, and what wrote each response in that run.
-- Grain: one row per run, set and response. No key: an ingest replaces the rows of its run.
create table run_set_item (
    run_id varchar not null,
    set_id varchar not null,
    response_id varchar not null,
    generator varchar not null
);
