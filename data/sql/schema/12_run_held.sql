-- Which lines of a run wait for a person's decision or were decided, under the id by which decisions
-- name them. Their rows stand in quarantine.
-- Grain: one row per run and line of a source. No key: an ingest replaces the rows of its run.
create table run_held (
    run_id varchar not null,
    source_id varchar not null,
    source_seq bigint not null,
    decision_id varchar not null
);
