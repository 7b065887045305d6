-- Grain: one row per set and response, proven by checks/ledger in each ingest.
create table ranking_set_item (
    set_id varchar not null,
    response_id varchar not null
);
