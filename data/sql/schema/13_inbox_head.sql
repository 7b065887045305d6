-- How far each inbox was taken in. At the next ingest this row must still be part of the inbox.
-- Grain: one row per inbox.
create table inbox_head (
    source_id varchar primary key,
    last_seq bigint not null check (last_seq >= 0),
    tail_sha256 varchar not null check (length(tail_sha256) = 64)
);
