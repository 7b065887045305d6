-- Version of this schema, compared when a store is opened.
-- Grain: one row.
create table store_version (version integer not null);
