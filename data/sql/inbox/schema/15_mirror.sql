-- What runs tell the lead's page.
-- Grain: one row per key.
create table mirror (
    key text primary key,
    value text not null check (json_valid(value)),
    at text not null
) strict;
