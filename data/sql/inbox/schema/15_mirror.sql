-- What runs tell the lead's page.
-- Grain: one row per name.
create table mirror (
    name text primary key,
    value text not null check (json_valid(value)),
    at text not null
) strict;
